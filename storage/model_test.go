package storage

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

// modelLog is what a log should be, kept the simplest way.
type modelLog struct {
	batches []batch.Header
	start   int64
	end     int64
	seq     map[int64]int32
}

func (m *modelLog) truncate(offset int64) {
	for i, b := range m.batches {
		if b.LastOffset() >= offset {
			m.batches = m.batches[:i]
			m.end = b.BaseOffset
			break
		}
	}
	m.start = min(m.start, m.end)
	m.seq = map[int64]int32{}
	for _, b := range m.batches {
		if b.HasProducerID() {
			m.seq[b.ProducerID] = b.LastSequence() + 1
		}
	}
}

// A log behaves as its model under any sequence of appends, reads, syncs, truncations, trims and restarts.
func TestModel_LOG_01_03_04_FETCH_01_04_06_13(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
		if err := fsys.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		if err := fsys.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
		cfg := testConfig()
		cfg.SegmentBytes = rapid.IntRange(1000, 5000).Draw(t, "segment.bytes")
		cfg.IndexIntervalBytes = rapid.IntRange(1, 800).Draw(t, "index.interval.bytes")
		cfg.RetentionMillis = -1
		saved := int64(0)
		recovery := int64(0)
		open := func(o OpenOptions) *Log {
			o.NowMillis = testNow
			o.SaveLogStart = func(offset int64) error { saved = max(saved, offset); return nil }
			o.SaveRecoveryPoint = func(offset int64) error { recovery = min(recovery, offset); return nil }
			l, err := OpenLog(fsys, "/data/t-0", testTP, testID, cfg, o)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := open(OpenOptions{})
		m := modelLog{seq: map[int64]int32{}}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				p := produce{n: rapid.IntRange(1, 4).Draw(t, "records"), size: rapid.IntRange(0, 200).Draw(t, "size")}
				if pid := rapid.Int64Range(-1, 2).Draw(t, "producer"); pid >= 0 {
					p.producer, p.pid, p.seq = true, pid, m.seq[pid]
					m.seq[pid] += int32(p.n)
				} else if rapid.Bool().Draw(t, "compressed") {
					p.codec = batch.LZ4
				}
				b := p.batch()
				info, err := l.AppendAsLeader(testNow, 0, OriginClient, true, b)
				if err != nil || info.FirstOffset != m.end || info.Duplicate {
					t.Fatalf("%+v, %v; the model's end is %d", info, err, m.end)
				}
				h, _ := batch.ParseHeader(b)
				m.batches = append(m.batches, h)
				m.end = info.LastOffset + 1
			},
			"read": func(t *rapid.T) {
				offset := rapid.Int64Range(max(m.start-2, 0), m.end+2).Draw(t, "offset")
				upTo := rapid.Int64Range(offset, m.end+2).Draw(t, "upTo")
				maxBytes := rapid.Int64Range(0, 2000).Draw(t, "maxBytes")
				atLeastOne := rapid.Bool().Draw(t, "atLeastOne")
				r, err := l.Read(offset, upTo, maxBytes, atLeastOne)
				if offset < m.start || offset > m.end {
					if !errors.Is(err, ErrOffsetOutOfRange) {
						t.Fatalf("out of range: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var raw []byte
				for _, c := range r.Chunks {
					raw = append(raw, c.Bytes...)
				}
				r.Release()
				var want []batch.Header
				size := int64(0)
				for _, b := range m.batches {
					if b.LastOffset() < offset {
						continue
					}
					if b.LastOffset() >= upTo || size+int64(b.Size()) > maxBytes && !(atLeastOne && len(want) == 0) {
						break
					}
					want = append(want, b)
					size += int64(b.Size())
				}
				var got []batch.Header
				for rest := raw; len(rest) > 0; {
					h, err := batch.ParseHeader(rest)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, h)
					rest = rest[h.Size():]
				}
				// A read ends with its segment, so it may be shorter; but never empty while there is something to give.
				if len(got) > len(want) || fmt.Sprint(got) != fmt.Sprint(want[:len(got)]) || len(got) == 0 && len(want) > 0 {
					t.Fatalf("read [%d, %d) of %d bytes: %v, want %v", offset, upTo, maxBytes, got, want)
				}
				next := offset
				if len(got) > 0 {
					next = got[len(got)-1].NextOffset()
				}
				follows := m.end // the last offset of the batch that comes next
				for _, b := range m.batches {
					if b.LastOffset() >= next {
						follows = b.LastOffset()
						break
					}
				}
				if r.Next < next || r.Next > follows {
					t.Fatalf("next %d, want %d to %d", r.Next, next, follows)
				}
			},
			"sync": func(t *rapid.T) {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
				recovery = l.DurableEndOffset()
				if recovery != m.end {
					t.Fatalf("durable %d of %d", recovery, m.end)
				}
			},
			"truncate": func(t *rapid.T) {
				offset := rapid.Int64Range(m.start, m.end+1).Draw(t, "offset")
				if err := l.TruncateTo(offset); err != nil {
					t.Fatal(err)
				}
				m.truncate(offset)
				saved = min(saved, m.start)
			},
			"trim": func(t *rapid.T) {
				m.start = max(m.start, rapid.Int64Range(m.start, m.end).Draw(t, "offset"))
				if err := l.AdvanceLogStart(m.start); err != nil {
					t.Fatal(err)
				}
			},
			"retain": func(t *rapid.T) {
				if _, err := l.Retain(testNow, m.end); err != nil {
					t.Fatal(err)
				}
			},
			"stop cleanly": func(t *rapid.T) {
				if err := l.Close(testNow); err != nil {
					t.Fatal(err)
				}
				recovery = m.end
				l = open(OpenOptions{CleanShutdown: true, RecoveryPoint: recovery, LogStart: saved})
			},
			"kill": func(t *rapid.T) { l = open(OpenOptions{RecoveryPoint: recovery, LogStart: saved}) },
			"lose power": func(t *rapid.T) {
				fsys = fsys.Crash(vfs.CrashOptions{Unsynced: vfs.Survival(rapid.IntRange(0, 3).Draw(t, "survival")), Tear: rapid.Bool().Draw(t, "tear"),
					Seed: rapid.Uint64().Draw(t, "seed")})
				l = open(OpenOptions{RecoveryPoint: recovery, LogStart: saved})
				if l.LogEndOffset() < recovery {
					t.Fatalf("synced up to %d, there is %d", recovery, l.LogEndOffset())
				}
				m.start = max(m.start, saved)
				m.truncate(l.LogEndOffset())
				if l.LogEndOffset() > m.end { // the log start was durable, what stood before it was not
					m.batches, m.end, m.start = nil, l.LogEndOffset(), l.LogStartOffset()
				}
				m.start = l.LogStartOffset()
			},
			"": func(t *rapid.T) {
				if l.LogStartOffset() != m.start || l.LogEndOffset() != m.end {
					t.Fatalf("log [%d, %d), model [%d, %d)", l.LogStartOffset(), l.LogEndOffset(), m.start, m.end)
				}
			},
		})
	})
}
