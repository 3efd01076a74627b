package broker

import (
	"context"
	"fmt"
	"net"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/groupcoord"
	"github.com/kbroker/kbroker/httpapi"
)

// startHTTP opens the HTTP port, unless it is off: requests are counted even where nobody can ask for them.
func (b *Broker) startHTTP(ctx context.Context) (err error) {
	budgets := []httpapi.Budget{{Name: "requests", State: func() (used, limit int64) {
		if !b.up.Load() {
			return 0, 0
		}
		s := b.server.Stats()
		return s.FrameMemoryInUse, s.FrameMemory
	}}}
	if b.cfg.InMemory() {
		budgets = append(budgets, httpapi.Budget{Name: "records", State: func() (used, limit int64) {
			if !b.up.Load() {
				return 0, memoryBudget(b.cfg)
			}
			return b.memory.fs.Used(), memoryBudget(b.cfg)
		}})
	}
	b.http, err = httpapi.New(httpapi.Deps{
		Version: b.cfg.Version, Ready: b.ready.Load, Topics: topicMetrics{b}, Groups: groupMetrics{b}, Connections: connectionMetrics{b},
		Budgets: budgets, Advertised: b.endpoints, AdvertisedAtRunTime: b.cfg.AdvertisedAtRunTime, Logger: b.log,
	})
	if err != nil || b.cfg.HTTP == "" {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.cfg.HTTP)
	if err != nil {
		return cantListen("http", b.cfg.HTTP, err, "another address, or off")
	}
	b.httpAddr = l.Addr()
	httpCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopHTTP = stop
	b.parts.Go(func() error { return b.http.Serve(httpCtx, l) })
	return nil
}

type topicMetrics struct{ b *Broker }

func (m topicMetrics) EachTopic(fn func(httpapi.Topic)) {
	if !m.b.up.Load() {
		return
	}
	img := m.b.node.Image()
	for _, name := range img.TopicNames() {
		t := httpapi.Topic{Name: name, Partitions: len(img.Topic(name).Partitions)}
		if s := m.b.node.TopicStats(name); s != nil {
			t.MessagesIn, t.BytesIn, t.BytesOut = s.MessagesIn.Load(), s.BytesIn.Load(), s.BytesOut.Load()
		}
		fn(t)
	}
}

func (m topicMetrics) EachPartition(fn func(httpapi.Partition)) {
	if !m.b.up.Load() {
		return
	}
	img := m.b.node.Image()
	for _, name := range img.TopicNames() {
		for i, info := range img.Topic(name).Partitions {
			p := httpapi.Partition{
				Topic: name, Partition: int32(i), Leader: info.Leader, PreferredLeader: info.Replicas[0],
				Replicas: len(info.Replicas), InSync: len(info.ISR),
			}
			if hosted, err := m.b.node.Partition(name, int32(i)); err == nil {
				p.Hosted = true
				p.LogStartOffset, p.HighWatermark, _ = hosted.Offsets()
				p.LogEndOff, p.SizeBytes = hosted.LogEndOffset(), hosted.Size()
			}
			fn(p)
		}
	}
}

func (m topicMetrics) Brokers() []httpapi.Broker {
	if !m.b.up.Load() {
		return nil
	}
	var all []httpapi.Broker
	for _, info := range m.b.node.Image().Brokers() {
		all = append(all, httpapi.Broker{ID: info.ID, Address: m.address(info)})
	}
	return all
}

func (m topicMetrics) address(info *cluster.BrokerInfo) string {
	if info.ID == m.b.cfg.NodeID && len(m.b.cfg.Listeners) > 0 {
		return m.b.endpoints.Advertised(m.b.cfg.Listeners[0].Name)
	}
	for _, e := range info.Endpoints {
		return net.JoinHostPort(e.Host, fmt.Sprint(e.Port))
	}
	return ""
}

type groupMetrics struct{ b *Broker }

func (m groupMetrics) EachGroup(fn func(httpapi.Group)) {
	if !m.b.up.Load() {
		return
	}
	for _, partition := range m.b.groups.Runtime().Partitions() {
		var groups []groupcoord.GroupSnapshot
		// A shard that is loading or leaving has no metrics.
		_ = m.b.groups.Runtime().Do(partition, func(s *groupcoord.Shard, _ *coord.Output) { groups = s.Snapshot() })
		for _, g := range groups {
			out := httpapi.Group{Name: g.ID, State: g.State.String(), Members: g.Members}
			for _, o := range g.Offsets {
				out.Offsets = append(out.Offsets, httpapi.CommittedOffset{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset})
			}
			fn(out)
		}
	}
}

type connectionMetrics struct{ b *Broker }

func (m connectionMetrics) Connections() httpapi.ConnectionStats {
	if !m.b.up.Load() {
		return httpapi.ConnectionStats{}
	}
	s := m.b.server.Stats()
	return httpapi.ConnectionStats{Open: s.Connections, Accepted: s.ConnectionsTotal, Refused: s.ConnectionsRefused, ParkedRequests: s.Parked}
}
