package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/storage/vfs"
)

func managerConfig(fsys vfs.FS, dirs ...string) ManagerConfig {
	if len(dirs) == 0 {
		dirs = []string{"/data"}
	}
	return ManagerConfig{FS: fsys, Dirs: dirs, ClusterID: "abc", NodeID: 3, NowMillis: func() int64 { return testNow }}
}

func openTestManager(t testing.TB, cfg ManagerConfig) *Manager {
	t.Helper()
	m, err := OpenManager(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManager_identity_and_lock(t *testing.T) {
	fsys := vfs.NewMem(vfs.MemOptions{})
	cfg := managerConfig(fsys)
	cfg.ClusterID = ""
	m := openTestManager(t, cfg)
	if m.ClusterID() != "" || m.NodeID() != 3 {
		t.Fatal(m.ClusterID(), m.NodeID())
	}
	id := m.DirectoryIDs()["/data"]
	if _, err := OpenManager(context.Background(), cfg); !errors.Is(err, ErrDirLocked) || !strings.Contains(err.Error(), "/data") {
		t.Fatalf("a second user of the directory: %v", err)
	}
	if err := m.SetClusterID("abc"); err != nil {
		t.Fatal(err)
	}
	if err := m.SetClusterID("other"); !errors.Is(err, ErrForeignCluster) {
		t.Fatal(err)
	}
	b := string(slurp(t, fsys, "/data/meta.properties"))
	for _, line := range []string{"version=1\n", "cluster.id=abc\n", "node.id=3\n", "directory.id=" + encodeUUID(id) + "\n"} {
		if !strings.Contains(b, line) {
			t.Fatalf("%q isn't in %q", line, b)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openTestManager(t, cfg)
	if m.ClusterID() != "abc" || m.DirectoryIDs()["/data"] != id {
		t.Fatal(m.ClusterID(), m.DirectoryIDs())
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*ManagerConfig)
		want   error
	}{
		{func(c *ManagerConfig) { c.ClusterID = "xyz" }, ErrForeignCluster},
		{func(c *ManagerConfig) { c.NodeID = 4 }, ErrForeignNode},
	} {
		cfg := managerConfig(fsys)
		c.change(&cfg)
		if _, err := OpenManager(context.Background(), cfg); !errors.Is(err, c.want) {
			t.Fatalf("%v, want %v", err, c.want)
		}
	}
	openTestManager(t, managerConfig(fsys)) // nothing stayed locked
}

func TestManager_LOG_04_DREC_05_restart_after_clean_stop_and_crash(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
			m := openTestManager(t, managerConfig(fsys))
			var want []string
			for p := range int32(3) {
				l, err := m.Open(TopicPartition{"a-b", p}, TopicID{9}, testConfig())
				if err != nil {
					t.Fatal(err)
				}
				for i := range 10 * (p + 1) {
					mustAppend(t, l, idem(1, 0, i, 1))
				}
				l.SetHighWatermark(l.LogEndOffset())
				if err := l.AdvanceLogStart(int64(p)*3 + 1); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprint(l.LogStartOffset(), l.LogEndOffset(), l.Producers()))
			}
			if clean {
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				if b := slurp(t, fsys, "/data/.kafka_cleanshutdown"); string(b) != `{"version":0,"brokerEpoch":-1}` {
					t.Fatalf("%q", b)
				}
				if b := slurp(t, fsys, "/data/recovery-point-offset-checkpoint"); string(b) != "0\n3\na-b 0 10\na-b 1 20\na-b 2 30\n" {
					t.Fatalf("%q", b)
				}
				if b := slurp(t, fsys, "/data/replication-offset-checkpoint"); string(b) != "0\n3\na-b 0 10\na-b 1 20\na-b 2 30\n" {
					t.Fatalf("%q", b)
				}
			} else {
				fsys = fsys.Crash(vfs.CrashOptions{Unsynced: vfs.KeepAll})
			}
			if b := slurp(t, fsys, "/data/log-start-offset-checkpoint"); string(b) != "0\n3\na-b 0 1\na-b 1 4\na-b 2 7\n" {
				t.Fatalf("%q", b)
			}
			m = openTestManager(t, managerConfig(fsys))
			if _, err := fsys.Stat("/data/.kafka_cleanshutdown"); err == nil {
				t.Fatal("the mark of a clean stop is still there")
			}
			stored := m.Existing()
			if len(stored) != 3 || stored[2] != (StoredLog{TopicPartition{"a-b", 2}, TopicID{9}, "/data"}) {
				t.Fatal(stored)
			}
			for i, s := range stored {
				l, err := m.Open(s.TP, s.TopicID, testConfig())
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(l.LogStartOffset(), l.LogEndOffset(), l.Producers()); got != want[i] {
					t.Fatalf("%s, want %s", got, want[i])
				}
			}
			if clean {
				if hw, ok := m.CheckpointedHighWatermark(TopicPartition{"a-b", 1}); !ok || hw != 20 {
					t.Fatal(hw, ok)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestManager_delete_and_create_again_starts_afresh(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash=%v", crash), func(t *testing.T) {
			fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
			m := openTestManager(t, managerConfig(fsys))
			tp := TopicPartition{"t", 0}
			l, err := m.Open(tp, TopicID{1}, testConfig())
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				mustAppend(t, l, produce{})
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := l.AdvanceLogStart(15); err != nil {
				t.Fatal(err)
			}
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			if err := m.Delete(tp); err != nil {
				t.Fatal(err)
			}
			if err := m.Delete(tp); err != nil {
				t.Fatalf("what isn't there: %v", err)
			}
			if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, produce{}.batch()); !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
			if _, err := l.Read(15, 20, 100, true); !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
			if len(m.Existing()) != 0 || len(m.Logs()) != 0 {
				t.Fatal("still there")
			}
			l, err = m.Open(tp, TopicID{2}, testConfig())
			if err != nil {
				t.Fatal(err)
			}
			if info := mustAppend(t, l, produce{}); info.FirstOffset != 0 || info.LogStartOffset != 0 {
				t.Fatal(info)
			}
			if crash {
				fsys = fsys.Crash(vfs.CrashOptions{Unsynced: vfs.KeepAll})
				m = openTestManager(t, managerConfig(fsys))
				if l, err = m.Open(tp, TopicID{2}, testConfig()); err != nil {
					t.Fatal(err)
				}
				if l.LogStartOffset() != 0 || l.LogEndOffset() != 1 {
					t.Fatal(l.LogStartOffset(), l.LogEndOffset())
				}
			} else {
				waiting := func() (n int) {
					entries, err := fsys.ReadDir("/data")
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range entries {
						if strings.HasPrefix(e.Name(), "t-0.") && strings.HasSuffix(e.Name(), "-delete") {
							n++
						}
					}
					return n
				}
				delay := testConfig().FileDeleteDelayMillis
				if err := m.RemoveDeleted(testNow + delay - 1); err != nil || waiting() != 1 {
					t.Fatal(err, waiting())
				}
				if err := m.RemoveDeleted(testNow + delay); err != nil || waiting() != 0 {
					t.Fatal(err, waiting())
				}
			}
		})
	}
}

func TestManager_damaged_checkpoints_are_made_anew(t *testing.T) {
	for _, file := range []string{recoveryPointFile, logStartFile, highWatermarkFile} {
		for _, content := range []string{"", "0\n", "0\n2\nt 0 5\n", "1\n1\nt 0 5\n", "0\n1\nt 0 x\n", "0\n1\nt 0\n", "\x00\x00\x00"} {
			t.Run(fmt.Sprintf("%s/%q", file, content), func(t *testing.T) {
				fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
				m := openTestManager(t, managerConfig(fsys))
				l, err := m.Open(testTP, testID, testConfig())
				if err != nil {
					t.Fatal(err)
				}
				for range 20 {
					mustAppend(t, l, produce{size: 200})
				}
				if err := m.Checkpoint(); err != nil {
					t.Fatal(err)
				}
				fsys = fsys.Crash(vfs.CrashOptions{Unsynced: vfs.KeepAll})
				spit(t, fsys, "/data/"+file, []byte(content))
				m = openTestManager(t, managerConfig(fsys))
				if l, err = m.Open(testTP, testID, testConfig()); err != nil || l.LogEndOffset() != 20 {
					t.Fatal(err)
				}
				l.SetHighWatermark(20)
				if err := l.AdvanceLogStart(3); err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := readOffsets(fsys, "/data/"+file); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestManager_a_stopped_log_leaves_no_clean_mark(t *testing.T) {
	fsys := vfs.NewMem(vfs.MemOptions{})
	m := openTestManager(t, managerConfig(fsys, "/one", "/two"))
	for p := range int32(4) {
		if _, err := m.Open(TopicPartition{"t", p}, testID, testConfig()); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := fsys.ReadDir("/one"); err != nil || len(e) < 4 {
		t.Fatalf("not spread over the directories: %v, %v", e, err)
	}
	boom := errors.New("boom")
	l := m.Logs()[0]
	fsys.SetFault(vfs.FailWhere(func(op vfs.Op) bool { return op.Kind == vfs.OpWrite }, boom))
	if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, produce{}.batch()); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	fsys.SetFault(nil)
	if _, err := m.Logs()[1].AppendAsLeader(testNow, 0, OriginClient, true, produce{}.batch()); err != nil {
		t.Fatalf("another log stopped too: %v", err)
	}
	if err := m.Close(); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(parentOf(l.Dir()) + "/.kafka_cleanshutdown"); err == nil {
		t.Fatal("marked as clean")
	}
}

func TestManager_fresh_directory_costs_few_operations(t *testing.T) {
	fsys := vfs.NewMem(vfs.MemOptions{})
	m := openTestManager(t, managerConfig(fsys))
	if n := fsys.Ops(); n > 8 {
		t.Fatalf("%d operations to open", n)
	}
	before := fsys.Ops()
	l, err := m.Open(testTP, testID, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(0); err != nil {
		t.Fatal(err)
	}
	if n := fsys.Ops() - before; n > 8 {
		t.Fatalf("%d operations for a new partition", n)
	}
	syncs := 0
	fsys.SetFault(func(op vfs.Op) error {
		if op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncDir {
			syncs++
		}
		return nil
	})
	if _, err := m.Open(TopicPartition{"t", 1}, testID, testConfig()); err != nil || syncs != 0 {
		t.Fatalf("%d syncs for a new partition, %v", syncs, err)
	}
}

// What changes the disk: nothing for partitions that nobody wrote to, whether the stop was clean or not, although each start
// makes a new leader epoch.
func TestManager_idle_partitions_cost_little(t *testing.T) {
	const partitions, written = 50, 10
	fsys := vfs.NewMem(vfs.MemOptions{})
	var m *Manager
	open := func(epoch int32) {
		for i := range int32(partitions) {
			l, err := m.Open(TopicPartition{"t", i}, testID, testConfig())
			if err != nil {
				t.Fatal(err)
			}
			if err := l.AssignEpoch(epoch); err != nil {
				t.Fatal(err)
			}
			if epoch == 0 && i < written {
				mustAppend(t, l, produce{})
			}
		}
	}
	m = openTestManager(t, managerConfig(fsys))
	open(0)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for epoch := int32(1); epoch < 3; epoch++ {
		m = openTestManager(t, managerConfig(fsys))
		before := fsys.Ops()
		open(epoch)
		crashed := epoch == 2
		if n := fsys.Ops() - before; !crashed && n != 0 || n > 6*written {
			t.Errorf("crashed %v: %d operations to open", crashed, n)
		}
		before = fsys.Ops()
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if n := fsys.Ops() - before; !crashed && n > 8 || n > 8+2*written {
			t.Errorf("crashed %v: %d operations to stop", crashed, n)
		}
		if epoch == 1 { // the second time it is a crash
			if err := fsys.Remove("/data/" + cleanShutdownFile); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkManager is what a thousand partitions cost: to make them with their leader epoch, to stop, to start after a clean stop and after
// a crash, when nothing was written to them and when each has a batch.
func BenchmarkManager(b *testing.B) {
	const partitions = 1000
	for _, written := range []bool{false, true} {
		name := "empty"
		if written {
			name = "written"
		}
		open := func(dir string) *Manager {
			m, err := OpenManager(context.Background(), ManagerConfig{FS: vfs.OS(), Dirs: []string{dir}, ClusterID: "c", NodeID: 1})
			if err != nil {
				b.Fatal(err)
			}
			return m
		}
		openAll := func(m *Manager) []*Log {
			logs := make([]*Log, partitions)
			for i := range logs {
				l, err := m.Open(TopicPartition{"t", int32(i)}, testID, DefaultLogConfig())
				if err == nil {
					err = l.AssignEpoch(0)
				}
				if err != nil {
					b.Fatal(err)
				}
				logs[i] = l
			}
			return logs
		}
		b.Run(name, func(b *testing.B) {
			var create, stop, clean, stopAgain, crashed time.Duration
			lap := func(sum *time.Duration, fn func()) {
				start := time.Now()
				fn()
				*sum += time.Since(start)
			}
			for b.Loop() {
				dir := b.TempDir()
				m := open(dir)
				lap(&create, func() {
					for _, l := range openAll(m) {
						if written {
							mustAppend(b, l, produce{size: 100})
						}
					}
				})
				closeManager := func() {
					if err := m.Close(); err != nil {
						b.Fatal(err)
					}
				}
				lap(&stop, closeManager)
				lap(&clean, func() { m = open(dir); openAll(m) })
				lap(&stopAgain, closeManager)
				if err := os.Remove(dir + "/" + cleanShutdownFile); err != nil {
					b.Fatal(err)
				}
				lap(&crashed, func() { m = open(dir); openAll(m) })
				closeManager()
			}
			for _, r := range []struct {
				of  time.Duration
				tag string
			}{{create, "create"}, {stop, "stop"}, {clean, "start"}, {stopAgain, "stop-unwritten"}, {crashed, "start-crashed"}} {
				b.ReportMetric(float64(r.of.Microseconds())/float64(b.N)/partitions, r.tag+"-µs/log")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
