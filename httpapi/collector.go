package httpapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// maxPartitionsShown bounds how many partitions, and how many groups' offsets, one answer of /metrics has.
const maxPartitionsShown = 100_000

// stateCollector shows topics, partitions, groups, connections and memory as they are when metrics are asked for, under the names of the
// usual Kafka exporter where it has one.
type stateCollector struct {
	deps Deps
	// most is maxPartitionsShown.
	most int

	brokers, brokerInfo                                          *prometheus.Desc
	partitions, current, oldest, leader, replicas, inSync        *prometheus.Desc
	preferred, underReplicated                                   *prometheus.Desc
	logSize, logEnd                                              *prometheus.Desc
	messagesIn, bytesIn, bytesOut                                *prometheus.Desc
	members, groupOffset, groupOffsetSum, lag, lagSum, groups    *prometheus.Desc
	connections, connectionsAccepted, connectionsRefused, parked *prometheus.Desc
	budgetUsed, budgetLimit, leftOut                             *prometheus.Desc
}

func newStateCollector(deps Deps) *stateCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &stateCollector{
		deps:                deps,
		most:                maxPartitionsShown,
		brokers:             desc("kafka_brokers", "Brokers in the cluster."),
		brokerInfo:          desc("kafka_broker_info", "A broker of the cluster.", "id", "address"),
		partitions:          desc("kafka_topic_partitions", "Partitions of a topic.", "topic"),
		current:             desc("kafka_topic_partition_current_offset", "High watermark of a partition: the end of what consumers can read.", "topic", "partition"),
		oldest:              desc("kafka_topic_partition_oldest_offset", "First offset that is still there.", "topic", "partition"),
		leader:              desc("kafka_topic_partition_leader", "Leader of a partition, -1 without.", "topic", "partition"),
		replicas:            desc("kafka_topic_partition_replicas", "Replicas of a partition.", "topic", "partition"),
		inSync:              desc("kafka_topic_partition_in_sync_replica", "In-sync replicas of a partition.", "topic", "partition"),
		preferred:           desc("kafka_topic_partition_leader_is_preferred", "1 where the leader is the preferred one.", "topic", "partition"),
		underReplicated:     desc("kafka_topic_partition_under_replicated_partition", "1 where a replica is not in sync.", "topic", "partition"),
		logSize:             desc("kbroker_log_size_bytes", "Size of a partition's log on this broker.", "topic", "partition"),
		logEnd:              desc("kbroker_log_end_offset", "Offset after the last record of a partition's log on this broker.", "topic", "partition"),
		messagesIn:          desc("kbroker_topic_messages_in_total", "Records that were appended to a topic.", "topic"),
		bytesIn:             desc("kbroker_topic_bytes_in_total", "Bytes of batches that were appended to a topic.", "topic"),
		bytesOut:            desc("kbroker_topic_bytes_out_total", "Bytes of batches that were read from a topic.", "topic"),
		groups:              desc("kbroker_consumergroups", "Groups that this broker coordinates, by state.", "state"),
		members:             desc("kafka_consumergroup_members", "Members of a group.", "consumergroup"),
		groupOffset:         desc("kafka_consumergroup_current_offset", "Committed offset of a group.", "consumergroup", "topic", "partition"),
		groupOffsetSum:      desc("kafka_consumergroup_current_offset_sum", "Sum of a group's committed offsets of a topic.", "consumergroup", "topic"),
		lag:                 desc("kafka_consumergroup_lag", "How far a group's committed offset is behind the high watermark.", "consumergroup", "topic", "partition"),
		lagSum:              desc("kafka_consumergroup_lag_sum", "Sum of a group's lag in a topic.", "consumergroup", "topic"),
		connections:         desc("kbroker_connections", "Open Kafka connections."),
		connectionsAccepted: desc("kbroker_connections_accepted_total", "Kafka connections that were accepted."),
		connectionsRefused:  desc("kbroker_connections_refused_total", "Kafka connections that were refused because there were too many."),
		parked:              desc("kbroker_parked_requests", "Requests that wait for their answers."),
		budgetUsed:          desc("kbroker_memory_budget_used_bytes", "Memory in use out of a budget.", "budget"),
		budgetLimit:         desc("kbroker_memory_budget_bytes", "Memory that a budget has.", "budget"),
		leftOut:             desc("kbroker_metrics_left_out", "Partitions and offsets that this answer has no room for."),
	}
}

// Describe sends nothing: what there is depends on the topics and groups that there are.
func (c *stateCollector) Describe(chan<- *prometheus.Desc) {}

func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	left := 0
	ends := map[partitionKey]int64{}
	if c.deps.Topics != nil {
		left += c.collectTopics(gauge, counter, ends)
	}
	if c.deps.Groups != nil {
		left += c.collectGroups(gauge, ends)
	}
	if c.deps.Connections != nil {
		s := c.deps.Connections.Connections()
		gauge(c.connections, float64(s.Open))
		gauge(c.parked, float64(s.ParkedRequests))
		counter(c.connectionsAccepted, float64(s.Accepted))
		counter(c.connectionsRefused, float64(s.Refused))
	}
	for _, b := range c.deps.Budgets {
		used, limit := b.State()
		gauge(c.budgetUsed, float64(used), b.Name)
		gauge(c.budgetLimit, float64(limit), b.Name)
	}
	gauge(c.leftOut, float64(left))
}

type sample func(d *prometheus.Desc, v float64, labels ...string)

type partitionKey struct {
	topic     string
	partition int32
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// collectTopics shows brokers, topics and partitions, remembers the high watermarks in ends, and says how many partitions had no room.
func (c *stateCollector) collectTopics(gauge, counter sample, ends map[partitionKey]int64) (left int) {
	brokers := c.deps.Topics.Brokers()
	gauge(c.brokers, float64(len(brokers)))
	for _, b := range brokers {
		gauge(c.brokerInfo, 1, strconv.Itoa(int(b.ID)), b.Address)
	}
	c.deps.Topics.EachTopic(func(t Topic) {
		gauge(c.partitions, float64(t.Partitions), t.Name)
		counter(c.messagesIn, float64(t.MessagesIn), t.Name)
		counter(c.bytesIn, float64(t.BytesIn), t.Name)
		counter(c.bytesOut, float64(t.BytesOut), t.Name)
	})
	shown := 0
	c.deps.Topics.EachPartition(func(p Partition) {
		if p.Hosted {
			ends[partitionKey{p.Topic, p.Partition}] = p.HighWatermark
		}
		if shown++; shown > c.most {
			left++
			return
		}
		number := strconv.Itoa(int(p.Partition))
		gauge(c.leader, float64(p.Leader), p.Topic, number)
		gauge(c.replicas, float64(p.Replicas), p.Topic, number)
		gauge(c.inSync, float64(p.InSync), p.Topic, number)
		gauge(c.preferred, truth(p.Leader == p.PreferredLeader && p.Leader >= 0), p.Topic, number)
		gauge(c.underReplicated, truth(p.InSync < p.Replicas), p.Topic, number)
		if p.Hosted {
			gauge(c.current, float64(p.HighWatermark), p.Topic, number)
			gauge(c.oldest, float64(p.LogStartOffset), p.Topic, number)
			gauge(c.logEnd, float64(p.LogEndOff), p.Topic, number)
			gauge(c.logSize, float64(p.SizeBytes), p.Topic, number)
		}
	})
	return left
}

// collectGroups shows groups with their offsets and lags, and says how many offsets had no room.
func (c *stateCollector) collectGroups(gauge sample, ends map[partitionKey]int64) (left int) {
	states := map[string]int{}
	shown := 0
	c.deps.Groups.EachGroup(func(g Group) {
		states[g.State]++
		gauge(c.members, float64(g.Members), g.Name)
		sums, lags := map[string]int64{}, map[string]int64{}
		for _, o := range g.Offsets {
			if shown++; shown > c.most {
				left++
				continue
			}
			number := strconv.Itoa(int(o.Partition))
			gauge(c.groupOffset, float64(o.Offset), g.Name, o.Topic, number)
			end, known := ends[partitionKey{o.Topic, o.Partition}]
			if o.Offset >= 0 {
				sums[o.Topic] += o.Offset
			}
			if !known || o.Offset < 0 {
				gauge(c.lag, -1, g.Name, o.Topic, number)
				continue
			}
			lag := max(0, end-o.Offset)
			lags[o.Topic] += lag
			gauge(c.lag, float64(lag), g.Name, o.Topic, number)
		}
		for topic, sum := range sums {
			gauge(c.groupOffsetSum, float64(sum), g.Name, topic)
			gauge(c.lagSum, float64(lags[topic]), g.Name, topic)
		}
	})
	for state, n := range states {
		gauge(c.groups, float64(n), state)
	}
	return left
}
