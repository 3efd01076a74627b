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

// newHTTP makes what answers HTTP; it counts requests even where nothing listens.
func (b *Broker) newHTTP() error {
	budgets := []httpapi.Budget{{Name: "requests", State: func() (used, limit int64) {
		if b.server == nil {
			return 0, 0
		}
		s := b.server.Stats()
		return s.FrameMemoryInUse, s.FrameMemory
	}}}
	if b.memory != nil {
		budgets = append(budgets, httpapi.Budget{Name: "records", State: func() (used, limit int64) { return b.memory.Used(), b.cfg.MemoryBudget }})
	}
	h, err := httpapi.New(httpapi.Deps{
		Version: b.cfg.Version, Ready: b.ready.Load, Topics: topicMetrics{b}, Groups: groupMetrics{b.groups}, Connections: connectionMetrics{b},
		Budgets: budgets, Advertised: b.endpoints, AdvertisedAtRunTime: b.cfg.AdvertisedAtRunTime, Logger: b.log,
	})
	b.http = h
	return err
}

// startHTTP opens the HTTP port, unless it is off.
func (b *Broker) startHTTP(ctx context.Context) error {
	if b.cfg.HTTP == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.cfg.HTTP)
	if err != nil {
		return fmt.Errorf("http: can't listen on %s: %w; choose another address with --http, or off", b.cfg.HTTP, err)
	}
	httpCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopHTTP = stop
	b.parts.Go(func() error { return b.http.Serve(httpCtx, l) })
	return nil
}

type topicMetrics struct{ b *Broker }

func (m topicMetrics) EachTopic(fn func(httpapi.Topic)) {
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

type groupMetrics struct{ groups *groupcoord.Service }

func (m groupMetrics) EachGroup(fn func(httpapi.Group)) {
	for _, partition := range m.groups.Runtime().Partitions() {
		var groups []groupcoord.GroupSnapshot
		// A shard that is loading or leaving has no metrics.
		_ = m.groups.Runtime().Do(partition, func(s *groupcoord.Shard, _ *coord.Output) { groups = s.Snapshot() })
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
	if m.b.server == nil {
		return httpapi.ConnectionStats{}
	}
	s := m.b.server.Stats()
	return httpapi.ConnectionStats{Open: s.Connections, Accepted: s.ConnectionsTotal, Refused: s.ConnectionsRefused, ParkedRequests: s.Parked}
}
