package franzgo

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func client(t *testing.T, b *proc.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// After kill -9 and restart a member goes on with its generation: no rejoin, same assignment, same offsets.
func TestGroupsGoOnAfterKill9_CGRP_40_OFFS_01(t *testing.T) {
	b := proc.Start(t, "--topic", "t:2")
	cl := client(t, b)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 30000, 30000
	jp := kmsg.NewJoinGroupRequestProtocol()
	jp.Name, jp.Metadata = "range", []byte{0, 1, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	join.Protocols = append(join.Protocols, jp)
	first, err := join.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	join.MemberID = first.MemberID
	joined, err := join.RequestWith(t.Context(), cl)
	if err != nil || joined.ErrorCode != 0 {
		t.Fatal(err, joined.ErrorCode)
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = "g", joined.Generation, joined.MemberID
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	sa := kmsg.NewSyncGroupRequestGroupAssignment()
	sa.MemberID, sa.MemberAssignment = joined.MemberID, []byte("assignment")
	sync.GroupAssignment = append(sync.GroupAssignment, sa)
	if resp, err := sync.RequestWith(t.Context(), cl); err != nil || resp.ErrorCode != 0 {
		t.Fatal(err, resp.ErrorCode)
	}
	commit := func() int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version = 8
		req.Group, req.Generation, req.MemberID = "g", joined.Generation, joined.MemberID
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset = 42
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		c := dial(t, b.Addr)
		id := c.send(t, req)
		resp := kmsg.NewPtrOffsetCommitResponse()
		resp.Version = 8
		c.receive(t, id[0], resp)
		return resp.Topics[0].Partitions[0].ErrorCode
	}
	if code := commit(); code != 0 {
		t.Fatalf("commit: error %d", code)
	}
	b.Kill()
	b.Restart(t)

	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.Generation, beat.MemberID = "g", joined.Generation, joined.MemberID
	if resp, err := beat.RequestWith(t.Context(), cl); err != nil || resp.ErrorCode != 0 {
		t.Errorf("heartbeat after the restart: %v, error %d", err, resp.ErrorCode)
	}
	sync.GroupAssignment = nil
	if resp, err := sync.RequestWith(t.Context(), cl); err != nil || resp.ErrorCode != 0 || string(resp.MemberAssignment) != "assignment" {
		t.Errorf("sync after the restart: %v, %+v", err, resp)
	}
	offsets, err := kadm.NewClient(cl).FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup("t", 0); !ok || o.At != 42 {
		t.Errorf("offset after the restart: %+v (there: %v)", o, ok)
	}
	if code := commit(); code != 0 {
		t.Errorf("commit after the restart: error %d", code)
	}
}

// Members come and go; at no time do two of them own a partition, and every record is seen.
func TestCooperativeGroupOwnsEachPartitionOnce_ACC_01_CGRP_34(t *testing.T) {
	const partitions, members = 12, 4
	b := proc.Start(t, "--topic", fmt.Sprintf("t:%d", partitions))
	var mu sync.Mutex
	owner := map[int32]int{}
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	member := func(id int) *kgo.Client {
		cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				mu.Lock()
				defer mu.Unlock()
				for _, p := range got["t"] {
					if other, ok := owner[p]; ok {
						t.Errorf("Ownership: partition %d was given to member %d while %d had it", p, id, other)
					}
					owner[p] = id
				}
				notify()
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
				mu.Lock()
				defer mu.Unlock()
				for _, p := range lost["t"] {
					delete(owner, p)
				}
				notify()
			}))
		go func() {
			for !cl.PollFetches(context.Background()).IsClientClosed() {
			}
		}()
		return cl
	}
	settled := func(want int) {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			mu.Lock()
			distinct := map[int]bool{}
			for _, m := range owner {
				distinct[m] = true
			}
			n := len(owner)
			mu.Unlock()
			if n == partitions && len(distinct) == want {
				return
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("%d partitions are owned by %d members, want %d by %d", n, len(distinct), partitions, want)
			}
		}
	}
	var all []*kgo.Client
	for i := range members {
		all = append(all, member(i))
	}
	settled(members)
	all[0].Close()
	settled(members - 1)
}
