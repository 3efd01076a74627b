package cluster

import (
	"testing"

	"pgregory.net/rapid"
)

func TestEffectiveMinISR_PROD_24(t *testing.T) {
	for _, c := range []struct{ setting, replicas, want int }{{1, 1, 1}, {2, 1, 1}, {2, 3, 2}, {5, 3, 3}, {0, 1, 1}} {
		if got := effectiveMinISR(c.setting, c.replicas); got != c.want {
			t.Errorf("min.insync.replicas=%d with %d replicas is %d, want %d", c.setting, c.replicas, got, c.want)
		}
	}
}

func TestLeader(t *testing.T) {
	t.Run("alone and without fsync commits at once", func(t *testing.T) {
		l := leader{self: 1, isr: []int32{1}}
		if got := l.appended(10, 100); got != 100 || l.highWatermark != 10 {
			t.Fatalf("%d bytes, high watermark %d", got, l.highWatermark)
		}
	})
	t.Run("alone with fsync commits what is synced", func(t *testing.T) {
		l := leader{self: 1, isr: []int32{1}, fsync: true}
		l.appended(10, 100)
		l.appended(30, 300)
		l.appended(20, 200) // two appends, reported in the other order
		if l.highWatermark != 0 || !l.unsynced() {
			t.Fatalf("high watermark %d", l.highWatermark)
		}
		if got := l.synced(20); got != 300 || l.highWatermark != 20 {
			t.Fatalf("%d bytes, high watermark %d", got, l.highWatermark)
		}
		if got := l.synced(30); got != 300 || l.unsynced() {
			t.Fatalf("%d bytes", got)
		}
	})
	t.Run("FETCH_10 an append that readers have to look at is told when it is synced", func(t *testing.T) {
		l := leader{self: 1, isr: []int32{1}, fsync: true}
		l.appended(10, 100)
		l.appended(20, 0)
		l.appended(30, 300)
		if got := l.synced(10); got != 100 {
			t.Fatalf("%d bytes", got)
		}
		if got := l.synced(30); got != 0 || l.highWatermark != 30 {
			t.Fatalf("%d bytes, high watermark %d", got, l.highWatermark)
		}
		l.appended(40, 400)
		if got := l.synced(40); got != 400 {
			t.Fatalf("%d bytes afterwards", got)
		}
	})
	t.Run("REPL_04 waits for all that are in sync", func(t *testing.T) {
		l := leader{self: 1, isr: []int32{1, 2}}
		if got := l.appended(10, 100); got != 0 || l.highWatermark != 0 {
			t.Fatalf("%d bytes, high watermark %d", got, l.highWatermark)
		}
		if got := l.setISR([]int32{1}); got != 100 || l.highWatermark != 10 {
			t.Fatalf("%d bytes, high watermark %d", got, l.highWatermark)
		}
	})
	t.Run("never lets the high watermark fall nor bytes get lost", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			l := leader{self: 1, isr: []int32{1}, fsync: rapid.Bool().Draw(t, "fsync")}
			var in, out, end int64
			for range rapid.IntRange(1, 50).Draw(t, "steps") {
				before := l.highWatermark
				switch rapid.IntRange(0, 2).Draw(t, "step") {
				case 0:
					end++
					in += 7
					out += l.appended(end, 7)
				case 1:
					out += l.synced(rapid.Int64Range(0, end).Draw(t, "durable"))
				case 2:
					out += l.setISR([][]int32{{1}, {1, 2}}[rapid.IntRange(0, 1).Draw(t, "isr")])
				}
				if l.highWatermark < before || l.highWatermark > l.end {
					t.Fatalf("high watermark from %d to %d", before, l.highWatermark)
				}
			}
			out += l.setISR([]int32{1})
			out += l.synced(end)
			if in != out || l.highWatermark != end || len(l.unread) != 0 {
				t.Fatalf("%d bytes in, %d out", in, out)
			}
		})
	})
}

func TestCommitWaitersStayInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l commitWaiters
		in := map[*commitWaiter]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				w := &commitWaiter{offset: rapid.Int64Range(0, 20).Draw(t, "offset")}
				l.add(w)
				in[w] = true
			case 1:
				for w := range in {
					if !l.remove(w) || l.remove(w) {
						t.Fatal("a waiter is removed once")
					}
					delete(in, w)
					break
				}
			case 2:
				hw := rapid.Int64Range(0, 20).Draw(t, "hw")
				for _, w := range l.take(nil, hw) {
					if !in[w] || w.offset >= hw {
						t.Fatalf("took %d at %d", w.offset, hw)
					}
					delete(in, w)
				}
				for w := range in {
					if w.offset < hw {
						t.Fatalf("%d still waits at %d", w.offset, hw)
					}
				}
			}
			n := 0
			for w, last := l.first, int64(-1); w != nil; w = w.next {
				if w.offset < last || !in[w] {
					t.Fatal("out of order")
				}
				last = w.offset
				n++
			}
			if n != len(in) {
				t.Fatalf("%d wait, want %d", n, len(in))
			}
		}
	})
}
