package broker

import (
	"context"
	"fmt"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/groupcoord"
	"github.com/kbroker/kbroker/handlers"
)

// partitions makes the node what the handlers need.
type partitions struct{ node *cluster.Node }

func (p partitions) Partition(topic string, partition int32) (handlers.Partition, error) {
	found, err := p.node.Partition(topic, partition)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// groupConfig reads the group coordinator's settings.
func groupConfig(s *config.Static) groupcoord.Config {
	c := groupcoord.DefaultConfig()
	c.NumPartitions = int32(s.Int("offsets.topic.num.partitions"))
	c.InitialRebalanceDelayMillis = int32(s.Int("group.initial.rebalance.delay.ms"))
	c.MinSessionTimeoutMillis = int32(s.Int("group.min.session.timeout.ms"))
	c.MaxSessionTimeoutMillis = int32(s.Int("group.max.session.timeout.ms"))
	c.MaxSize = int32(s.Int("group.max.size"))
	c.OffsetsRetentionMillis = int64(s.Int("offsets.retention.minutes")) * 60_000
	c.OffsetsRetentionCheckMillis = s.Long("offsets.retention.check.interval.ms")
	c.OffsetMetadataMaxChars = int32(s.Int("offset.metadata.max.bytes"))
	c.CommitTimeoutMillis = int32(s.Int("offsets.commit.timeout.ms"))
	return c
}

// startGroups has the coordinator take up the partitions of __consumer_offsets that this broker leads, now and as they come and go, and
// forget the offsets of topics that are deleted.
func (b *Broker) startGroups() {
	first := true
	b.node.Subscribe(func(d cluster.Delta, _ *cluster.Image) {
		b.followOffsetsTopic(d, first)
		first = false
	})
	b.groups.Runtime().AwaitLoads()
}

// seedTopics makes the topics of --topic that aren't there yet.
func seedTopics(ctx context.Context, h *handlers.Handlers, topics []config.SeedTopic) error {
	for _, t := range topics {
		if err := h.SeedTopic(ctx, t.Name, t.Partitions); err != nil {
			return fmt.Errorf("topic: can't create %q: %w", t.Name, err)
		}
	}
	return nil
}

// maxBatchBytes gives the current max.message.bytes of a topic.
func (b *Broker) maxBatchBytes(topic string) func() int {
	return func() int {
		return b.node.Image().Layers(b.cfg.Static, b.cfg.NodeID, topic).Int(config.Topic, "max.message.bytes")
	}
}

func (b *Broker) loadShard(partition int32, empty bool) {
	p, err := b.node.Partition(groupcoord.OffsetsTopic, partition)
	if err != nil {
		b.log.Error("a partition of the offsets topic can't be taken up", "partition", partition, "error", err)
		return
	}
	l := coord.PartitionLog(p, b.maxBatchBytes(groupcoord.OffsetsTopic))
	if empty {
		b.groups.Runtime().LoadEmpty(partition, l)
		return
	}
	b.groups.Runtime().Load(partition, l)
}

func (b *Broker) logDirs() []handlers.LogDir {
	var dirs []handlers.LogDir
	for _, d := range b.dirs {
		total, free := b.fs.Usage(d)
		dirs = append(dirs, handlers.LogDir{Path: d, TotalBytes: total, FreeBytes: free})
	}
	return dirs
}

// followOffsetsTopic takes up the partitions of the offsets topic that a change brought here and gives up those that it took, and deletes the
// offsets of topics that are gone. In the first call, at the start, partitions hold what an earlier life wrote; those that are made later are empty.
func (b *Broker) followOffsetsTopic(d cluster.Delta, first bool) {
	for _, t := range d.CreatedTopics {
		if t.Name != groupcoord.OffsetsTopic {
			continue
		}
		for i, p := range t.Partitions {
			if p.Leader == b.cfg.NodeID {
				b.loadShard(int32(i), !first)
			}
		}
	}
	var gone []string
	for _, t := range d.DeletedTopics {
		if t.Name == groupcoord.OffsetsTopic {
			for _, p := range b.groups.Runtime().Partitions() {
				b.groups.Runtime().Unload(p)
			}
		}
		gone = append(gone, t.Name)
	}
	if len(gone) > 0 {
		b.groups.DeletedTopics(gone)
	}
}
