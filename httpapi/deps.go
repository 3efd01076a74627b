package httpapi

// Topics lists what the broker has, when metrics are asked for. The functions are called one after another, without locks of the caller.
type Topics interface {
	// EachTopic calls fn for every topic of the cluster.
	EachTopic(fn func(Topic))
	// EachPartition calls fn for every partition of the cluster.
	EachPartition(fn func(Partition))
	// Brokers lists the brokers that are there.
	Brokers() []Broker
}

// Topic is what metrics show of a topic.
type Topic struct {
	Name       string
	Partitions int
	// MessagesIn, BytesIn and BytesOut count since the start of the process.
	MessagesIn, BytesIn, BytesOut int64
}

// Partition is what metrics show of a partition.
type Partition struct {
	Topic            string
	Partition        int32
	Leader           int32 // -1 where there is none
	PreferredLeader  int32
	Replicas, InSync int
	// Hosted says that this broker has the log, so that the fields below mean something.
	Hosted                                   bool
	LogStartOffset, HighWatermark, LogEndOff int64
	SizeBytes                                int64
}

// Broker is what metrics show of a broker.
type Broker struct {
	ID      int32
	Address string // HOST:PORT, or auto
}

// Groups lists the groups that this broker coordinates, when metrics are asked for.
type Groups interface {
	EachGroup(fn func(Group))
}

// Group is what metrics show of a group.
type Group struct {
	Name    string
	State   string
	Members int
	Offsets []CommittedOffset
}

// CommittedOffset is one offset of a group; -1 where there is none.
type CommittedOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Connections tells of the Kafka connections.
type Connections interface {
	Connections() ConnectionStats
}

// ConnectionStats are the counters of the Kafka connections.
type ConnectionStats struct {
	Open              int
	Accepted, Refused uint64
	// ParkedRequests wait for their answers.
	ParkedRequests int
}

// Budget is a bound on memory.
type Budget struct {
	// Name says what the memory is for: requests or records.
	Name string
	// State gives how much is used and how much there is, in bytes.
	State func() (used, limit int64)
}

// Advertised is what clients are told to connect to.
type Advertised interface {
	// Listeners names the listeners.
	Listeners() []string
	// Advertised says what a listener's clients are told, auto where it depends on the connection.
	Advertised(listener string) string
	// SetAdvertised changes it; an empty host takes the change back.
	SetAdvertised(listener, host string, port int32)
}
