package cluster

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNode is a running node in a file system of its own.
type testNode struct {
	*Node
	t       testing.TB
	fs      vfs.FS
	manager *storage.Manager
	cancel  context.CancelFunc
	done    chan error
	stopped bool
}

func testStatic(t testing.TB, properties ...string) *config.Static {
	t.Helper()
	var settings []config.Setting
	for _, p := range properties {
		name, value, _ := strings.Cut(p, "=")
		settings = append(settings, config.Setting{Name: name, Value: value})
	}
	s, err := config.NewStatic(settings...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newTestNode makes a node over fs that doesn't run yet.
func newTestNode(t testing.TB, fs vfs.FS, change ...func(*Config)) (*testNode, error) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	m, err := storage.OpenManager(t.Context(), storage.ManagerConfig{FS: fs, Dirs: []string{"/data"}, NodeID: 1, Logger: logger})
	if err != nil {
		return nil, err
	}
	cfg := Config{NodeID: 1, Manager: m, FS: fs, MetadataDir: "/data", Static: testStatic(t), Logger: logger, Endpoints: []Endpoint{{"PLAINTEXT", "localhost", 9092}}}
	for _, f := range change {
		f(&cfg)
	}
	return &testNode{Node: New(cfg), t: t, fs: fs, manager: m, done: make(chan error, 1)}, nil
}

func runNode(t testing.TB, fs vfs.FS, change ...func(*Config)) *testNode {
	t.Helper()
	n, err := newTestNode(t, fs, change...)
	if err != nil {
		t.Fatal(err)
	}
	n.run()
	select {
	case <-n.Ready():
	case err := <-n.done:
		n.stopped = true
		t.Fatal("the node ended: ", err)
	}
	return n
}

func (n *testNode) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.done <- n.Run(ctx) }()
	n.t.Cleanup(n.stop)
}

// stop ends the node and its manager cleanly.
func (n *testNode) stop() {
	if n.stopped {
		return
	}
	n.stopped = true
	n.cancel()
	if err := <-n.done; err != nil {
		n.t.Error(err)
	}
	if err := n.manager.Close(); err != nil {
		n.t.Error(err)
	}
}

// kill ends the node as kill -9 does; it gives the file system that is found afterwards.
func (n *testNode) kill() vfs.FS {
	left := n.fs.(*vfs.Mem).Clone()
	n.stop()
	return left
}

func (n *testNode) do(op Operation) any {
	n.t.Helper()
	result, err := n.Do(context.Background(), op)
	if err != nil {
		n.t.Fatal(err)
	}
	return result
}

// create makes a topic the short way: one replica, here.
func (n *testNode) create(name string, partitions int) {
	n.t.Helper()
	n.do(opFunc(func(img *Image, env Env) (Decision, error) {
		id := env.NewUUID()
		d := Decision{Records: []Record{TopicRecord{Name: name, ID: id}}}
		for p := range partitions {
			d.Records = append(d.Records, PartitionRecord{TopicID: id, Partition: int32(p), PartitionInfo: PartitionInfo{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}})
		}
		return d, nil
	}))
}

func (n *testNode) remove(name string) {
	n.t.Helper()
	n.do(opFunc(func(img *Image, _ Env) (Decision, error) {
		return Decision{Records: []Record{RemoveTopicRecord{img.Topic(name).ID}}}, nil
	}))
}

func (n *testNode) configure(r ConfigResource, key, value string) {
	n.t.Helper()
	n.do(records(ConfigRecord{Resource: r, Key: key, Value: &value}))
}

// info changes what the metadata say of a partition.
func (n *testNode) info(topic string, partition int32, change func(*PartitionInfo)) {
	n.t.Helper()
	n.do(opFunc(func(img *Image, _ Env) (Decision, error) {
		p := *img.Partition(topic, partition)
		change(&p)
		return Decision{Records: []Record{PartitionRecord{TopicID: img.Topic(topic).ID, Partition: partition, PartitionInfo: p}}}, nil
	}))
}

func (n *testNode) partition(topic string, partition int32) *Partition {
	n.t.Helper()
	p, err := n.Partition(topic, partition)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

func testBatch(values ...string) []byte {
	b := batch.NewBuilder()
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	return b.Build()
}

func mustAppend(t testing.TB, p *Partition, values ...string) storage.AppendInfo {
	t.Helper()
	info, err := p.Append(AppendRequest{Records: testBatch(values...), Acks: -1, AllowZstd: true})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// contents reads all values that a consumer sees.
func contents(t testing.TB, p *Partition) (values []string) {
	t.Helper()
	start, _, _ := p.Offsets()
	for offset := start; ; {
		r, err := p.Read(ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			t.Fatal(err)
		}
		if r.Records.Next == offset {
			r.Records.Release()
			return values
		}
		offset = r.Records.Next
		b, err := AppendRecords(nil, r.Records)
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			h, err := batch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := batch.EachRecord(b[:h.Size()], 1<<20, func(_ int, r batch.Record) error {
				values = append(values, string(r.Value))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			b = b[h.Size():]
		}
	}
}

func newMem() *vfs.Mem { return vfs.NewMem(vfs.MemOptions{}) }

func TestStart(t *testing.T) {
	fs := newMem()
	n := runNode(t, fs, func(c *Config) { c.Static = testStatic(t, "min.insync.replicas=1") })
	img := n.Image()
	t.Run("META_04 a new cluster has a uuid of 22 characters", func(t *testing.T) {
		if len(img.ClusterID) != 22 || img.ClusterID[0] == '-' || n.manager.ClusterID() != img.ClusterID {
			t.Fatalf("%q, %q", img.ClusterID, n.manager.ClusterID())
		}
	})
	t.Run("the node is registered", func(t *testing.T) {
		b := img.Broker(1)
		if b == nil || b.Epoch <= 0 || len(b.Endpoints) != 1 || b.Endpoints[0].Host != "localhost" {
			t.Fatalf("%+v", b)
		}
	})
	t.Run("AV_10 the features are finalized", func(t *testing.T) {
		f := img.Features()
		if f["metadata.version"] != 33 || f["transaction.version"] != 2 || f["group.version"] != 1 || f["eligible.leader.replicas.version"] != 1 {
			t.Fatalf("%v", f)
		}
	})
	t.Run("CFGT_05 min.insync.replicas is a dynamic default", func(t *testing.T) {
		if got := img.Configs(ConfigResource{Type: ResourceBroker})["min.insync.replicas"]; got != "1" {
			t.Fatalf("%q", got)
		}
	})
	n.stop()
	t.Run("META_04 a restart keeps the cluster's id and gives a later broker epoch", func(t *testing.T) {
		again := runNode(t, fs)
		if again.Image().ClusterID != img.ClusterID || again.Image().Broker(1).Epoch <= img.Broker(1).Epoch {
			t.Fatalf("%q, %d", again.Image().ClusterID, again.Image().Broker(1).Epoch)
		}
		again.stop()
	})
	t.Run("metadata of another cluster are refused", func(t *testing.T) {
		other, err := newTestNode(t, fs, func(c *Config) { c.ClusterID = "AAAAAAAAAAAAAAAAAAAAAA" })
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Run(t.Context()); !errors.Is(err, storage.ErrForeignCluster) {
			t.Fatal(err)
		}
		other.manager.Close()
	})
	t.Run("a configured id is the cluster's", func(t *testing.T) {
		n := runNode(t, newMem(), func(c *Config) { c.ClusterID = "MkU3OEVBNTcwNTJENDM2Qk" })
		if n.Image().ClusterID != "MkU3OEVBNTcwNTJENDM2Qk" {
			t.Fatal(n.Image().ClusterID)
		}
	})
}

func TestDo(t *testing.T) {
	n := runNode(t, newMem())
	t.Run("META_32 a topic is usable when Do returns", func(t *testing.T) {
		n.create("a", 3)
		if n.Image().Topic("a") == nil {
			t.Fatal("the image doesn't have it")
		}
		for p := range int32(3) {
			mustAppend(t, n.partition("a", p), "x")
		}
	})
	t.Run("what Decide refuses is the caller's error and changes nothing", func(t *testing.T) {
		before := n.Image()
		refusal := errors.New("no")
		if _, err := n.Do(t.Context(), opFunc(func(*Image, Env) (Decision, error) { return Decision{}, refusal })); !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		if n.Image() != before {
			t.Fatal("another image")
		}
	})
	t.Run("a decision without records answers at once", func(t *testing.T) {
		if got := n.do(opFunc(func(*Image, Env) (Decision, error) { return Decision{Result: 7}, nil })); got != 7 {
			t.Fatal(got)
		}
	})
	t.Run("META_38 what comes too late is not done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.Do(ctx, records(FeatureRecord{"f", 1})); !errors.Is(err, context.Canceled) || n.Image().Features()["f"] != 0 {
			t.Fatal(err)
		}
	})
	t.Run("operations are decided one after the other, each on what came before", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				n.do(opFunc(func(img *Image, _ Env) (Decision, error) {
					return Decision{Records: []Record{FeatureRecord{"counter", img.Features()["counter"] + 1}}}, nil
				}))
			})
		}
		wg.Wait()
		if got := n.Image().Features()["counter"]; got != 50 {
			t.Fatal(got)
		}
	})
	t.Run("the image has at least what Do returned for", func(t *testing.T) {
		for i := range 20 {
			n.create(fmt.Sprint("seen", i), 1)
			if n.Image().Topic(fmt.Sprint("seen", i)) == nil {
				t.Fatal(i)
			}
		}
	})
	n.stop()
	t.Run("after the stop it says so", func(t *testing.T) {
		if _, err := n.Do(t.Context(), records(FeatureRecord{"f", 1})); !errors.Is(err, ErrShuttingDown) {
			t.Fatal(err)
		}
	})
}

func TestSubscribers(t *testing.T) {
	n, err := newTestNode(t, newMem())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var events []string
	n.Subscribe(func(d Delta, img *Image) {
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range d.DeletedTopics {
			events = append(events, "-"+topic.Name)
		}
		for _, topic := range d.CreatedTopics {
			if _, err := n.Partition(topic.Name, 0); err != nil || n.Image() != img {
				t.Errorf("%s isn't carried out yet: %v", topic.Name, err)
			}
			events = append(events, "+"+topic.Name)
		}
	})
	n.run()
	<-n.Ready()
	n.create("a", 1)
	n.remove("a")
	n.create("a", 1)
	mu.Lock()
	if want := []string{"+a", "-a", "+a"}; !slices.Equal(events, want) {
		t.Fatalf("%v, want %v", events, want)
	}
	mu.Unlock()
	var late []string
	n.Subscribe(func(d Delta, _ *Image) {
		for _, topic := range d.CreatedTopics {
			late = append(late, topic.Name)
		}
	})
	if !slices.Equal(late, []string{"a"}) {
		t.Fatalf("a late subscriber saw %v", late)
	}
}

func TestRestart(outer *testing.T) {
	t := outer
	fs := newMem()
	n := runNode(t, fs)
	n.create("a", 2)
	n.create("gone", 1)
	n.remove("gone")
	n.configure(ConfigResource{ResourceTopic, "a"}, "retention.ms", "1234")
	mustAppend(t, n.partition("a", 1), "x", "y")
	id := n.Image().Topic("a").ID

	check := func(t *testing.T, n *testNode, epoch int32) {
		t.Helper()
		img := n.Image()
		if img.Topic("a").ID != id || img.Topic("gone") != nil || img.Configs(ConfigResource{ResourceTopic, "a"})["retention.ms"] != "1234" {
			t.Fatalf("%+v", img.Topic("a"))
		}
		p := n.partition("a", 1)
		if got := contents(t, p); !slices.Equal(got, []string{"x", "y"}) {
			t.Fatal(got)
		}
		if p.LeaderEpoch() != epoch || img.Partition("a", 1).LeaderEpoch != epoch {
			t.Fatalf("leader epoch %d, in the image %d, want %d", p.LeaderEpoch(), img.Partition("a", 1).LeaderEpoch, epoch)
		}
		if l, err := p.log(); err != nil || l.Config().RetentionMillis != 1234 {
			t.Fatal(err)
		}
		if dirs, _ := fs.ReadDir("/data"); slices.ContainsFunc(dirs, func(e iofs.DirEntry) bool { return strings.HasSuffix(e.Name(), "-stray") }) {
			t.Fatal("something was set aside")
		}
	}
	n.stop()
	t.Run("META_10 after a clean stop all goes on in the same epoch", func(t *testing.T) {
		n = runNode(outer, fs)
		check(t, n, 0)
	})
	t.Run("META_10 after a kill the epoch is the next one", func(t *testing.T) {
		n = runNode(outer, n.kill())
		check(t, n, 1)
		n = runNode(outer, n.kill())
		check(t, n, 2)
		if got := n.partition("a", 1).EndOffsetForEpoch(0); got != (storage.EpochEnd{Epoch: 0, EndOffset: 2}) {
			t.Fatalf("LOFF_16 the old epoch ends at %+v", got)
		}
	})
}

func TestMetadataSnapshots(t *testing.T) {
	const topics = keptEntries + 500
	fs := newMem()
	n := runNode(t, fs)
	big := strings.Repeat("v", 30_000)
	for i := range topics { // 45 MB: some snapshots, and segments that they free
		n.do(opFunc(func(_ *Image, env Env) (Decision, error) {
			return Decision{Records: []Record{
				TopicRecord{Name: fmt.Sprint("t", i), ID: env.NewUUID()},
				ConfigRecord{Resource: ConfigResource{ResourceClientMetrics, fmt.Sprint(i % 7)}, Key: "k", Value: &big},
			}}, nil
		}))
	}
	n.stop()
	checkpoints := func() (names []string) {
		entries, err := fs.ReadDir("/data/__cluster_metadata-0")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), checkpointSuffix) {
				names = append(names, e.Name())
			}
		}
		return names
	}
	t.Run("old ones go", func(t *testing.T) {
		if got := checkpoints(); len(got) < 1 || len(got) > 2 {
			t.Fatalf("%v", got)
		}
	})
	t.Run("a restart begins with the newest", func(t *testing.T) {
		n := runNode(t, fs)
		img := n.Image()
		if img.NumTopics() != topics || img.Configs(ConfigResource{ResourceClientMetrics, "3"})["k"] != big || img.Broker(1) == nil {
			t.Fatalf("%d topics", img.NumTopics())
		}
		n.create("more", 1)
	})
	t.Run("a damaged one is an error, not an empty cluster", func(t *testing.T) {
		for _, name := range checkpoints() {
			if err := writeFileAtomically(fs, "/data/__cluster_metadata-0/"+name, []byte("garbage"), false); err != nil {
				t.Fatal(err)
			}
		}
		n, err := newTestNode(t, fs)
		if err != nil {
			t.Fatal(err)
		}
		defer n.manager.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			select {
			case <-n.Ready():
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := n.Run(ctx); err == nil || !strings.Contains(err.Error(), "snapshot") {
			t.Fatal(err)
		}
	})
}

func TestProducerIDs_IDEM_02_are_never_given_out_again(t *testing.T) {
	fs := vfs.FS(newMem())
	seen := map[int64]bool{}
	for life := range 3 {
		n := runNode(t, fs)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 400 {
					id, err := n.NextProducerID(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[id] || id < 0 {
						t.Errorf("%d in life %d", id, life)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		fs = n.kill()
	}
	n := runNode(t, fs)
	t.Run("a caller that gives up holds nobody up", func(t *testing.T) {
		<-n.producerIDs.turn
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.NextProducerID(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		n.producerIDs.turn <- struct{}{}
	})
}

// os mode promises nothing about a power cut, but these must not be given twice all the same.
func TestPowerCutInOSMode(t *testing.T) {
	for seed := range uint64(5) {
		fs := vfs.NewMem(vfs.MemOptions{TrackSync: true})
		n := runNode(t, fs)
		ids := map[int64]bool{}
		epoch := int32(-1)
		for range 3 {
			for range 3 {
				id, err := n.NextProducerID(t.Context())
				if err != nil || ids[id] {
					t.Fatalf("IDEM_02 seed %d: %d again, %v", seed, id, err)
				}
				ids[id] = true
			}
			if n.Image().Topic("a") == nil {
				n.create("a", 1)
			}
			if got := n.partition("a", 0).LeaderEpoch(); got <= epoch {
				t.Fatalf("META_10 seed %d: leader epoch %d after %d", seed, got, epoch)
			} else {
				epoch = got
			}
			mustAppend(t, n.partition("a", 0), "x")
			if _, err := n.NextProducerID(t.Context()); err != nil { // the block is durable, and so is the topic before it
				t.Fatal(err)
			}
			n.producerIDs.left = 0
			if _, err := n.NextProducerID(t.Context()); err != nil {
				t.Fatal(err)
			}
			left := fs.Crash(vfs.CrashOptions{Unsynced: vfs.KeepSubset, Tear: true, Seed: seed})
			n.stopped = true
			n.cancel()
			<-n.done
			n.manager.Close()
			fs = left
			n = runNode(t, fs)
		}
		n.stop()
	}
}

func TestPowerCutInOSMode_META_10_no_epoch_comes_twice(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{TrackSync: true})
	n := runNode(t, fs)
	n.create("a", 1)
	if _, err := n.NextProducerID(t.Context()); err != nil { // makes the topic durable
		t.Fatal(err)
	}
	for life := range int32(3) {
		p := n.partition("a", 0)
		mustAppend(t, p, "x")
		l, err := p.log()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil { // as a flush would
			t.Fatal(err)
		}
		if p.LeaderEpoch() != life || l.LatestEpoch() != life {
			t.Fatalf("leader epoch %d, in the log %d, in life %d", p.LeaderEpoch(), l.LatestEpoch(), life)
		}
		left := fs.Crash(vfs.CrashOptions{Unsynced: vfs.LoseUnsynced})
		n.stopped = true
		n.cancel()
		<-n.done
		n.manager.Close()
		fs = left
		n = runNode(t, fs)
	}
}

func TestMemoryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMem()
		n := runNode(t, fs)
		fs.SetFault(vfs.FailWhere(func(op vfs.Op) bool { return op.Kind == vfs.OpWrite && strings.Contains(op.Name, MetadataTopic) }, vfs.ErrBudget))
		done := make(chan struct{})
		go func() {
			n.create("a", 1)
			close(done)
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		if n.Image().Topic("a") != nil {
			t.Fatal("made without being stored")
		}
		fs.SetFault(nil)
		<-done
		mustAppend(t, n.partition("a", 0), "x")
		n.stop()
	})
}

func TestStrays(t *testing.T) {
	fs := newMem()
	n := runNode(t, fs)
	n.create("a", 1)
	mustAppend(t, n.partition("a", 0), "old")
	n.stop()
	// The topic is deleted and made again while its folder stays: a crash between commit and rename.
	if err := fs.Rename("/data/a-0", "/data/kept"); err != nil {
		t.Fatal(err)
	}
	n = runNode(t, fs)
	n.remove("a")
	n.create("a", 1)
	n.stop()
	if err := fs.RemoveAll("/data/a-0"); err != nil {
		t.Fatal(err)
	}
	if err := fs.Rename("/data/kept", "/data/a-0"); err != nil {
		t.Fatal(err)
	}
	n = runNode(t, fs)
	if got := contents(t, n.partition("a", 0)); len(got) != 0 {
		t.Fatalf("META_14 the new topic has the old one's records %v", got)
	}
	entries, _ := fs.ReadDir("/data")
	if !slices.ContainsFunc(entries, func(e iofs.DirEntry) bool { return strings.HasSuffix(e.Name(), "-stray") }) {
		t.Fatal("the old records are gone")
	}
}

func TestFailedMetadataLogEndsRun(t *testing.T) {
	fs := newMem()
	n, err := newTestNode(t, fs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { n.done <- n.Run(ctx) }()
	<-n.Ready()
	broken := errors.New("disk gone")
	fs.SetFault(vfs.FailWhere(func(op vfs.Op) bool { return strings.Contains(op.Name, MetadataTopic) }, broken))
	if _, err := n.Do(t.Context(), records(FeatureRecord{"f", 1})); err == nil {
		t.Fatal("an operation succeeded that isn't stored")
	}
	if err := <-n.done; !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if n.Image().Features()["f"] != 0 {
		t.Fatal("it shows all the same")
	}
	fs.SetFault(nil)
	n.manager.Close()
}

func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := func(name string, do func()) {
			t.Log(name) // a bubble has no subtests
			do()
		}
		fs := newMem()
		n := runNode(t, fs, func(c *Config) { c.Static = testStatic(t, "log.retention.check.interval.ms=60000") })
		n.create("a", 1)
		p := n.partition("a", 0)
		mustAppend(t, p, "x")
		w := newTestWatcher()
		p.Watch(w)
		defer p.Unwatch(w)
		step("LOG_12 retention runs at its interval and wakes readers", func() {
			n.configure(ConfigResource{ResourceTopic, "a"}, "retention.ms", "1000")
			w.take()
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if start, hw, _ := p.Offsets(); start != 1 || hw != 1 {
				t.Fatalf("the log begins at %d of %d", start, hw)
			}
			if n, _ := w.take(); n == 0 {
				t.Fatal("nobody was woken")
			}
		})
		step("flush.ms flushes", func() {
			n.configure(ConfigResource{ResourceTopic, "a"}, "flush.ms", "5000")
			l, _ := p.log()
			mustAppend(t, p, "y")
			if l.DurableEndOffset() == l.LogEndOffset() {
				t.Fatal("flushed at once")
			}
			time.Sleep(5*time.Second + time.Millisecond)
			synctest.Wait()
			if l.DurableEndOffset() != l.LogEndOffset() {
				t.Fatalf("durable to %d of %d", l.DurableEndOffset(), l.LogEndOffset())
			}
		})
		step("checkpoints are written", func() {
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if _, err := fs.Stat("/data/recovery-point-offset-checkpoint"); err != nil {
				t.Fatal(err)
			}
		})
		step("META_34 files of deleted topics go", func() {
			n.remove("a")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			entries, _ := fs.ReadDir("/data")
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), "a-") {
					t.Fatal(e.Name())
				}
			}
		})
		n.stop()
	})
}

func BenchmarkCreateTopic(b *testing.B) {
	n := runNode(b, newMem())
	i := 0
	for b.Loop() {
		n.create(fmt.Sprint("topic", i), 3)
		i++
	}
}
