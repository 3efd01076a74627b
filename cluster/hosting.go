package cluster

import (
	"context"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
)

// openingInParallel is how many logs are opened at the same time: more than there are processors, for much of it is waiting for the disk.
const openingInParallel = 8

// hosts says whether a node has a replica of a partition.
func hosts(info *PartitionInfo, nodeID int32) bool { return slices.Contains(info.Replicas, nodeID) }

// adopt takes up everything that an image has, at the start. Logs are opened later.
func (n *Node) adopt(img *Image) {
	n.newest.Store(img)
	n.moveStrays(img)
	d := img.Everything()
	n.change(d, img)
	n.image.Store(img)
	n.subscribing.Lock()
	defer n.subscribing.Unlock()
	n.started = true
	for _, fn := range n.subscribers {
		fn(d, img)
	}
}

// carryOut makes this node be what the image says. It runs on the loop.
func (n *Node) carryOut(d Delta, img *Image) {
	n.newest.Store(img)
	for _, t := range d.DeletedTopics {
		n.forget(t)
	}
	n.openNew(n.change(d, img))
	n.configure(d, img)
	n.image.Store(img)
	n.subscribing.Lock()
	defer n.subscribing.Unlock()
	for _, fn := range n.subscribers {
		fn(d, img)
	}
}

// forget stops the partitions of a deleted topic and deletes their logs; the name is free when it returns.
func (n *Node) forget(t *TopicInfo) {
	hosted := edit(*n.hosted.Load())
	h := shardOfString(t.Name)
	old, ok := hosted.get(h, t.Name)
	if !ok {
		return
	}
	hosted.remove(h, t.Name)
	n.hosted.Store(&hosted.m)
	for _, p := range old.partitions {
		if p == nil {
			continue
		}
		p.stop(ErrUnknownTopicOrPartition)
		if err := n.cfg.Manager.Delete(p.tp); err != nil {
			n.log.Error("the log of a deleted partition can't be removed", "partition", p.tp.String(), "error", err)
		}
	}
}

// change puts new and changed partitions in place. It gives the new ones, which aren't open yet.
func (n *Node) change(d Delta, img *Image) (added []*Partition) {
	if len(d.Partitions) == 0 {
		return nil
	}
	hosted := edit(*n.hosted.Load())
	var fresh map[string]*hostedTopic
	var minISR int
	var of string
	for _, c := range d.Partitions {
		name := c.Topic.Name
		if of != name {
			of, minISR = name, minInSyncReplicas(n.layers(img, name))
		}
		old, _ := hosted.get(shardOfString(name), name)
		var p *Partition
		if old != nil && int(c.Partition) < len(old.partitions) {
			p = old.partitions[c.Partition]
		}
		if p != nil {
			p.update(c.New, minISR)
			p.updated()
			continue
		}
		if !hosts(c.New, n.cfg.NodeID) {
			continue
		}
		t := fresh[name]
		if t == nil {
			t = &hostedTopic{id: c.Topic.ID, stats: &TopicStats{}}
			if old != nil {
				t.stats, t.partitions = old.stats, slices.Clone(old.partitions)
			}
			if fresh == nil {
				fresh = map[string]*hostedTopic{}
			}
			fresh[name] = t
			hosted.set(shardOfString(name), name, t)
		}
		if missing := int(c.Partition) + 1 - len(t.partitions); missing > 0 {
			t.partitions = append(t.partitions, make([]*Partition, missing)...)
		}
		p = makePartition(n.host, storage.TopicPartition{Topic: name, Partition: c.Partition}, t.id, c.New, minISR, t.stats)
		t.partitions[c.Partition] = p
		added = append(added, p)
	}
	n.hosted.Store(&hosted.m)
	return added
}

// openNew opens the logs of new partitions. What can't be opened is offline: its calls say why.
func (n *Node) openNew(added []*Partition) {
	if len(added) == 1 {
		_, _ = added[0].log() // it says so itself
		return
	}
	var g errgroup.Group
	g.SetLimit(openingInParallel)
	for _, p := range added {
		g.Go(func() error {
			_, _ = p.log()
			return nil
		})
	}
	_ = g.Wait()
}

// openAll opens the logs that the start left closed.
func (n *Node) openAll(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(openingInParallel / 2)
	n.Partitions(func(p *Partition) bool {
		g.Go(func() error {
			if ctx.Err() == nil {
				_, _ = p.log()
			}
			return nil
		})
		return ctx.Err() == nil
	})
	_ = g.Wait()
}

// openLog is partitionHost.open.
func (n *Node) openLog(p *Partition) (*storage.Log, error) {
	layers := n.layers(n.newest.Load(), p.tp.Topic)
	c := logConfig(layers)
	p.setFlush(c)
	l, err := n.cfg.Manager.Open(p.tp, p.topicID, c)
	if err == nil {
		l.SetProducerExpiry(producerExpiryMillis(layers))
	}
	return l, err
}

func (n *Node) layers(img *Image, topic string) config.Layers {
	return img.Layers(n.cfg.Static, n.cfg.NodeID, topic)
}

// configure applies changed settings to living partitions (LOG-15).
func (n *Node) configure(d Delta, img *Image) {
	all := false
	for _, r := range d.Configs {
		switch {
		case r.Type == ResourceTopic:
			if t, ok := n.hosted.Load().get(shardOfString(r.Name), r.Name); ok {
				n.configureTopic(img, r.Name, t)
			}
		case r.Type == ResourceBroker && (r.Name == "" || r.Name == strconv.Itoa(int(n.cfg.NodeID))):
			all = true
		}
	}
	if !all {
		return
	}
	for name, t := range n.hosted.Load().all() {
		n.configureTopic(img, name, t)
	}
}

func (n *Node) configureTopic(img *Image, name string, t *hostedTopic) {
	l := n.layers(img, name)
	c, minISR := logConfig(l), minInSyncReplicas(l)
	for i, p := range t.partitions {
		info := img.Partition(name, int32(i))
		if p == nil || info == nil {
			continue
		}
		p.configure(c, producerExpiryMillis(l))
		p.update(info, minISR)
	}
}

// openFailed is partitionHost.openFailed.
func (n *Node) openFailed(p *Partition, err error) {
	n.log.Error("a log can't be opened and is offline until the next start", "partition", p.tp.String(), "error", err)
}

// stopPartitions ends all work on partitions.
func (n *Node) stopPartitions() {
	n.Partitions(func(p *Partition) bool {
		p.stop(ErrShuttingDown)
		return true
	})
}

// moveStrays sets folders aside that the metadata know nothing of: a deletion that a crash interrupted, or records whose
// metadata are lost. They are never opened and never deleted.
func (n *Node) moveStrays(img *Image) {
	for _, stored := range n.cfg.Manager.Existing() {
		if stored.TP.Topic == MetadataTopic {
			continue
		}
		t := img.Topic(stored.TP.Topic)
		info := img.Partition(stored.TP.Topic, stored.TP.Partition)
		if info != nil && hosts(info, n.cfg.NodeID) && (stored.TopicID == t.ID || stored.TopicID == TopicID{}) {
			continue
		}
		if err := n.cfg.Manager.SetAside(stored.TP); err != nil {
			n.log.Error("a folder that the metadata don't know can't be set aside", "dir", stored.Dir, "error", err)
			continue
		}
		n.log.Warn("a folder that the metadata don't know was set aside", "dir", stored.Dir)
	}
}
