package cluster

import (
	"slices"
	"strconv"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
)

// Layers gives the settings that hold for a topic on a node, for resolving; an empty topic: those of the node alone.
func (i *Image) Layers(static *config.Static, nodeID int32, topic string) config.Layers {
	l := config.Layers{
		Broker:  i.Configs(ConfigResource{Type: ResourceBroker, Name: strconv.Itoa(int(nodeID))}),
		Cluster: i.Configs(ConfigResource{Type: ResourceBroker}),
		Static:  static,
	}
	if topic != "" {
		l.Topic = i.Configs(ConfigResource{Type: ResourceTopic, Name: topic})
	}
	return l
}

// logConfig is what a topic's settings mean for its logs.
func logConfig(l config.Layers) storage.LogConfig {
	c := storage.LogConfig{
		SegmentBytes:          l.Int(config.Topic, "segment.bytes"),
		SegmentMillis:         l.Long(config.Topic, "segment.ms"),
		SegmentJitterMillis:   l.Long(config.Topic, "segment.jitter.ms"),
		SegmentIndexBytes:     l.Int(config.Topic, "segment.index.bytes"),
		IndexIntervalBytes:    l.Int(config.Topic, "index.interval.bytes"),
		RetentionMillis:       l.Long(config.Topic, "retention.ms"),
		RetentionBytes:        l.Long(config.Topic, "retention.bytes"),
		MaxMessageBytes:       l.Int(config.Topic, "max.message.bytes"),
		GzipLevel:             l.Int(config.Topic, "compression.gzip.level"),
		LZ4Level:              l.Int(config.Topic, "compression.lz4.level"),
		ZstdLevel:             l.Int(config.Topic, "compression.zstd.level"),
		TimestampBeforeMillis: l.Long(config.Topic, "message.timestamp.before.max.ms"),
		TimestampAfterMillis:  l.Long(config.Topic, "message.timestamp.after.max.ms"),
		FileDeleteDelayMillis: l.Long(config.Topic, "file.delete.delay.ms"),
		FlushMessages:         l.Long(config.Topic, "flush.messages"),
		FlushMillis:           l.Long(config.Topic, "flush.ms"),
		MaxDecompressedBytes:  l.Int(config.Topic, "max.decompressed.message.bytes"),
		Preallocate:           l.Bool(config.Topic, "preallocate"),
	}
	if l.Effective(config.Topic, "internal.segment.bytes") != "" {
		c.SegmentBytes = l.Int(config.Topic, "internal.segment.bytes")
	}
	policies := l.List(config.Topic, "cleanup.policy")
	c.Delete, c.Compact = slices.Contains(policies, "delete"), slices.Contains(policies, "compact")
	if l.Effective(config.Topic, "message.timestamp.type") == "LogAppendTime" {
		c.TimestampType = batch.LogAppendTime
	}
	c.TargetCodec = batch.Producer
	if codec, ok := batch.CodecByName(l.Effective(config.Topic, "compression.type")); ok {
		c.TargetCodec = codec
	}
	return c
}

// producerExpiryMillis is how long the logs of a node remember a producer that is silent.
func producerExpiryMillis(l config.Layers) int64 {
	return l.Long(config.Broker, "producer.id.expiration.ms")
}

// minInSyncReplicas is a topic's min.insync.replicas; what it means with few replicas effectiveMinISR says.
func minInSyncReplicas(l config.Layers) int { return l.Int(config.Topic, "min.insync.replicas") }
