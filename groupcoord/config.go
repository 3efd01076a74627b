package groupcoord

// Caller is who asks the coordinator.
type Caller struct {
	ClientID string
	// ClientHost is the client's address as Kafka writes it: "/127.0.0.1".
	ClientHost string
}

// Config holds the coordinator's settings. Each names the Kafka property that it stands for.
type Config struct {
	// NumPartitions is offsets.topic.num.partitions; it counts as long as the topic doesn't exist.
	NumPartitions int32
	// InitialRebalanceDelayMillis is group.initial.rebalance.delay.ms.
	InitialRebalanceDelayMillis int32
	// MinSessionTimeoutMillis and MaxSessionTimeoutMillis are group.min.session.timeout.ms and group.max.session.timeout.ms.
	MinSessionTimeoutMillis, MaxSessionTimeoutMillis int32
	// MaxSize is group.max.size; there is also the hard limit of Limits.
	MaxSize int32
	// OffsetsRetentionMillis is offsets.retention.minutes.
	OffsetsRetentionMillis int64
	// OffsetsRetentionCheckMillis is offsets.retention.check.interval.ms.
	OffsetsRetentionCheckMillis int64
	// OffsetMetadataMaxChars is offset.metadata.max.bytes, which counts UTF-16 units.
	OffsetMetadataMaxChars int32
	// CommitTimeoutMillis is offsets.commit.timeout.ms.
	CommitTimeoutMillis int32
	Limits              Limits
}

// Limits bounds what clients can make a coordinator keep. Kafka has no such limits; they lie far beyond honest use.
type Limits struct {
	// GroupsPerShard is how many groups a shard holds.
	GroupsPerShard int
	// MembersPerGroup is how many members a group has, whatever group.max.size says.
	MembersPerGroup int
	// PendingMembersPerGroup is how many member ids may be given out and not used yet.
	PendingMembersPerGroup int
	// ProtocolsPerMember is how many protocols a member may name.
	ProtocolsPerMember int
	// MemberBytes is how much a member's protocols and assignment may take.
	MemberBytes int
	// GroupBytes is how much all members of a group may take.
	GroupBytes int
}

// DefaultConfig has Kafka's defaults.
func DefaultConfig() Config {
	return Config{
		NumPartitions:               50,
		InitialRebalanceDelayMillis: 3000,
		MinSessionTimeoutMillis:     6000,
		MaxSessionTimeoutMillis:     1800000,
		MaxSize:                     1<<31 - 1,
		OffsetsRetentionMillis:      10080 * 60 * 1000,
		OffsetsRetentionCheckMillis: 600000,
		OffsetMetadataMaxChars:      4096,
		CommitTimeoutMillis:         5000,
		Limits: Limits{
			GroupsPerShard:         100_000,
			MembersPerGroup:        20_000,
			PendingMembersPerGroup: 10_000,
			ProtocolsPerMember:     100,
			MemberBytes:            4 << 20,
			GroupBytes:             128 << 20,
		},
	}
}

const (
	// newMemberJoinTimeoutMillis is how long a member that is new may wait for its first join to complete. Its client can't be seen to
	// have gone away meanwhile.
	newMemberJoinTimeoutMillis = 5 * 60 * 1000

	// initialSettleMillis is for how long nobody may have come before a new group's first join completes, where
	// group.initial.rebalance.delay.ms is shorter than that. Members that start together then share the first generation; otherwise the first one
	// has it alone, and learns of the others only by its next heartbeat, seconds later.
	initialSettleMillis = 20
	// initialSettleMaxMillis bounds that wait.
	initialSettleMaxMillis = 60
)
