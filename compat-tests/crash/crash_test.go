// Package crash kills the broker again and again under load and checks what clients saw: nothing acknowledged is lost, no offset ever
// holds two values, an idempotent value stands once, a resent batch gets its old offset, committed offsets neither fall nor vanish.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	topic      = "crash"
	partitions = 4
	producers  = 3
	committers = 3
)

// duration is half a minute, or what KBROKER_CHAOS says.
func duration(t *testing.T) time.Duration {
	if s := os.Getenv("KBROKER_CHAOS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 30 * time.Second
}

func TestKill9UnderLoad(t *testing.T) {
	for _, durability := range []string{"os", "fsync"} {
		t.Run(durability+"_LOG_02_LOG_03_IDEM_10_OFFS_01_CGRP_40", func(t *testing.T) {
			run(t, duration(t)/2, durability)
		})
	}
}

func run(t *testing.T, length time.Duration, durability string) {
	b := proc.Start(t, "--durability", durability, "--topic", fmt.Sprintf("%s:%d", topic, partitions), "--log-level", "warn")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &history{acked: map[at]string{}}
	var wg sync.WaitGroup
	for i := range producers {
		wg.Go(func() { h.produce(ctx, t, b.Addr, i) })
	}
	var registers []*register
	for i := range committers {
		r := &register{group: fmt.Sprintf("register-%d", i)}
		registers = append(registers, r)
		wg.Go(func() { r.commit(ctx, t, b.Addr) })
	}
	resend := newResender(t, b.Addr)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for end := time.Now().Add(length); time.Now().Before(end); kills++ {
		time.Sleep(time.Duration(300+rnd.IntN(1200)) * time.Millisecond) // the load runs for a while between two kills
		b.Kill()
		b.Restart(t)
		resend.check(t)
	}
	cancel()
	wg.Wait()

	all := readAll(t, b.Addr)
	h.check(t, all)
	for _, r := range registers {
		r.check(t, b.Addr)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.acked) < 100 || kills < 3 {
		t.Errorf("only %d acknowledgements and %d kills: the run proved nothing", len(h.acked), kills)
	}
	t.Logf("%d kills, %d records acknowledged, %d read", kills, len(h.acked), len(all))
}

type at struct {
	partition int32
	offset    int64
}

// history is what the producers were told.
type history struct {
	mu    sync.Mutex
	acked map[at]string
}

// produce sends values that no other producer sends, one batch after the other, until ctx ends.
func (h *history) produce(ctx context.Context, t *testing.T, addr string, id int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(200),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%d-%08d", id, n)
		cl.Produce(ctx, &kgo.Record{Value: []byte(value)}, func(r *kgo.Record, err error) {
			if err != nil {
				return // neither success nor failure
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			k := at{r.Partition, r.Offset}
			if old, ok := h.acked[k]; ok {
				t.Errorf("One value: partition %d offset %d was acknowledged for %s and for %s", k.partition, k.offset, old, value)
			}
			h.acked[k] = value
		})
		if n%20 == 0 {
			time.Sleep(time.Millisecond) // a rate that leaves the machine to the others
		}
	}
}

func (h *history) check(t *testing.T, all map[at]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lost := 0
	for k, v := range h.acked {
		if got, ok := all[k]; !ok || got != v {
			if lost++; lost <= 5 {
				t.Errorf("Durable: partition %d offset %d was acknowledged with %q, read %q (there: %v)", k.partition, k.offset, v, got, ok)
			}
		}
	}
	if lost > 5 {
		t.Errorf("Durable: %d records lost in all", lost)
	}
	where := map[string]at{}
	for k, v := range all {
		if old, ok := where[v]; ok && v != resendValue {
			t.Errorf("Duplicate: %q stands at %v and at %v", v, old, k)
		}
		where[v] = k
	}
	last := map[[2]int32]string{}
	for p := range int32(partitions) {
		for o := int64(0); ; o++ {
			v, ok := all[at{p, o}]
			if !ok {
				break
			}
			var id int32
			if _, err := fmt.Sscanf(v, "%d-", &id); err != nil {
				continue
			}
			if prev := last[[2]int32{p, id}]; prev >= v {
				t.Errorf("Order: partition %d offset %d holds %q after %q", p, o, v, prev)
			}
			last[[2]int32{p, id}] = v
		}
	}
}

// readAll reads the topic from its first to its last offset; the client checks every CRC. Offsets have no gaps.
func readAll(t *testing.T, addr string) map[at]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	all, want := map[at]string{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	next := map[int32]int64{}
	for int64(len(all)) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("Prefix: reading all: %v (%d of %d)", err, len(all), want)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Errorf("Prefix: partition %d continues at %d, want %d", r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition] = r.Offset + 1
			all[at{r.Partition, r.Offset}] = string(r.Value)
		})
	}
	return all
}

// register is one committed offset with one writer: it holds the last acknowledged value, or one that was sent after it.
type register struct {
	group       string
	acked, sent int64
}

func (r *register) commit(ctx context.Context, t *testing.T, addr string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for ctx.Err() == nil {
		r.sent++
		var offsets kadm.Offsets
		offsets.AddOffset(topic, 0, r.sent, -1)
		callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		resp, err := adm.CommitOffsets(callCtx, r.group, offsets)
		cancel()
		if err == nil && resp.Error() == nil {
			r.acked = r.sent
		}
		if r.acked > 0 {
			r.verify(ctx, t, adm)
		}
	}
}

func (r *register) verify(ctx context.Context, t *testing.T, adm *kadm.Client) {
	callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := adm.FetchOffsets(callCtx, r.group)
	if err != nil || got.Error() != nil {
		return // killed meanwhile
	}
	o, ok := got.Lookup(topic, 0)
	if !ok || o.At < r.acked || o.At > r.sent {
		t.Errorf("Commit register, No reset: group %s holds %d (there: %v), acknowledged %d, sent up to %d", r.group, o.At, ok, r.acked, r.sent)
	}
}

func (r *register) check(t *testing.T, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if r.acked == 0 {
		t.Errorf("group %s: no commit was acknowledged", r.group)
	}
	got, err := kadm.NewClient(cl).FetchOffsets(t.Context(), r.group)
	if err != nil || got.Error() != nil {
		t.Fatal(err, got.Error())
	}
	r.verify(t.Context(), t, kadm.NewClient(cl))
}

const resendValue = "resent"

// resender sends one and the same idempotent batch again after every restart: it gets the same offset each time.
type resender struct {
	addr   string
	req    *kmsg.ProduceRequest
	offset int64
}

func newResender(t *testing.T, addr string) *resender {
	t.Helper()
	cl := request(t, addr)
	defer cl.Close()
	id, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(t.Context(), cl)
	if err != nil || id.ErrorCode != 0 {
		t.Fatal(err, id)
	}
	r := &resender{addr: addr, req: produceRequest(id.ProducerID, id.ProducerEpoch)}
	r.offset = r.send(t)
	return r
}

func (r *resender) send(t *testing.T) int64 {
	t.Helper()
	cl := request(t, r.addr)
	defer cl.Close()
	resp, err := r.req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		t.Fatalf("Dedup survives: error %d on a resent batch", p.ErrorCode)
	}
	return p.BaseOffset
}

func (r *resender) check(t *testing.T) {
	t.Helper()
	if got := r.send(t); got != r.offset {
		t.Errorf("Dedup survives: the resent batch got offset %d, at first %d", got, r.offset)
	}
}

func request(t *testing.T, addr string) *kgo.Client {
	t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Produce.Int16(), 12) // the last one that names topics
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(versions))
	if err != nil {
		t.Fatal(err)
	}
	return cl
}
