package cluster

// commitWaiter is somebody who waits for the high watermark to pass an offset.
type commitWaiter struct {
	offset     int64
	done       func(error)
	prev, next *commitWaiter
	waiting    bool
}

// commitWaiters are in the order of their offsets; they come nearly so, therefore adding, removing and taking cost
// next to nothing. Its Partition's mutex guards it.
type commitWaiters struct{ first, last *commitWaiter }

func (l *commitWaiters) add(w *commitWaiter) {
	w.waiting = true
	before := l.last
	for before != nil && before.offset > w.offset {
		before = before.prev
	}
	w.prev = before
	if before == nil {
		w.next, l.first = l.first, w
	} else {
		w.next, before.next = before.next, w
	}
	if w.next == nil {
		l.last = w
	} else {
		w.next.prev = w
	}
}

// remove takes a waiter out; it says whether it was still in.
func (l *commitWaiters) remove(w *commitWaiter) bool {
	if !w.waiting {
		return false
	}
	w.waiting = false
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	return true
}

// take removes all whose offset lies below highWatermark and appends them to dst.
func (l *commitWaiters) take(dst []*commitWaiter, highWatermark int64) []*commitWaiter {
	for w := l.first; w != nil && w.offset < highWatermark; w = l.first {
		l.remove(w)
		dst = append(dst, w)
	}
	return dst
}

// takeAll removes all and appends them to dst.
func (l *commitWaiters) takeAll(dst []*commitWaiter) []*commitWaiter {
	for w := l.first; w != nil; w = l.first {
		l.remove(w)
		dst = append(dst, w)
	}
	return dst
}
