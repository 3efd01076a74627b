package cluster

import (
	"strconv"

	"github.com/kbroker/kbroker/config"
)

// InternalTopic describes an internal topic as it is made on first use: its partitions, replicas and settings come from the
// broker's settings for it, but it never needs more replicas than there are brokers. Not ok where name isn't internal.
func InternalTopic(name string, static *config.Static, img *Image) (t NewTopic, ok bool) {
	t = NewTopic{Name: name, ClampReplicas: true}
	set := func(key, value string) { t.Configs = append(t.Configs, ConfigValue{Key: key, Value: &value}) }
	size := func(prefix string) {
		t.Partitions = int32(static.Int(prefix + ".num.partitions"))
		t.ReplicationFactor = int16(static.Int(prefix + ".replication.factor"))
		set("segment.bytes", strconv.Itoa(static.Int(prefix+".segment.bytes")))
	}
	// With more required copies than replicas nothing could ever be written.
	minISR := func(key string) {
		n := min(static.Int(key), int(t.ReplicationFactor))
		if usable := usableBrokers(img); usable > 0 {
			n = min(n, usable)
		}
		set("min.insync.replicas", strconv.Itoa(n))
	}
	switch name {
	case ConsumerOffsetsTopic:
		size("offsets.topic")
		set("cleanup.policy", "compact")
		set("compression.type", "producer")
	case TransactionStateTopic:
		size("transaction.state.log")
		set("cleanup.policy", "compact")
		set("compression.type", "uncompressed")
		set("unclean.leader.election.enable", "false")
		minISR("transaction.state.log.min.isr")
	case ShareGroupStateTopic:
		size("share.coordinator.state.topic")
		set("cleanup.policy", "delete")
		set("compression.type", "producer")
		set("retention.ms", "-1")
		minISR("share.coordinator.state.topic.min.isr")
	default:
		return NewTopic{}, false
	}
	return t, true
}
