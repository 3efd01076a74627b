package cluster

import "slices"

// leader is the core of a partition's leader: who is in sync and up to where all of them have the log. It has no I/O, lock
// or clock; its Partition owns it.
//
// A member's log end counts for the leader itself as soon as it is appended, or, where acknowledged means fsynced, as far as
// it is synced. A member of the ISR that wasn't heard of holds the high watermark where it is.
type leader struct {
	self  int32
	fsync bool
	isr   []int32

	end, durable  int64 // this node's log
	highWatermark int64
	others        map[int32]int64 // log ends that the other replicas reported

	// unread are appends that the high watermark doesn't cover yet, by end offset: what a reader gains when it does.
	unread []appendedBytes
}

type appendedBytes struct{ end, bytes int64 }

// appended records that the log grew by bytes and ends at end or later; 0 bytes ask readers to look whatever they wait for. It gives by how many
// bytes the high watermark moved, 0 where readers are to look.
func (l *leader) appended(end, bytes int64) (readable int64) {
	l.end = max(l.end, end)
	if len(l.unread) == 0 && l.committable() >= end {
		l.advance()
		return bytes
	}
	i := len(l.unread)
	for i > 0 && l.unread[i-1].end > end {
		i--
	}
	l.unread = slices.Insert(l.unread, i, appendedBytes{end, bytes})
	return l.advance()
}

// synced records that the log is durable up to an offset.
func (l *leader) synced(durable int64) (readable int64) {
	l.durable = max(l.durable, durable)
	return l.advance()
}

// setISR records who is in sync now.
func (l *leader) setISR(isr []int32) (readable int64) {
	l.isr = isr
	return l.advance()
}

// committable is the offset up to which every member of the ISR has the log.
func (l *leader) committable() int64 {
	low := l.end
	if l.fsync {
		low = min(l.end, l.durable)
	}
	for _, id := range l.isr {
		if id != l.self {
			low = min(low, l.others[id])
		}
	}
	return low
}

// advance raises the high watermark as far as it may; it never falls.
func (l *leader) advance() (readable int64) {
	l.highWatermark = max(l.highWatermark, l.committable())
	n, look := 0, false
	for n < len(l.unread) && l.unread[n].end <= l.highWatermark {
		readable += l.unread[n].bytes
		look = look || l.unread[n].bytes == 0
		n++
	}
	if n > 0 {
		l.unread = slices.Delete(l.unread, 0, n)
	}
	if look {
		return 0
	}
	return readable
}

// unsynced says whether there is something that a sync would make durable.
func (l *leader) unsynced() bool { return l.durable < l.end }

// effectiveMinISR is min.insync.replicas as far as there are replicas at all (PROD-24).
func effectiveMinISR(minInSyncReplicas int, replicas int) int {
	return max(1, min(minInSyncReplicas, replicas))
}
