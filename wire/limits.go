package wire

import (
	"math"
	"net/netip"
	"time"
)

// None as a number of connections lets in none at all.
const None = -1

// Limits bounds what peers can make the server do. SetLimits changes them while it runs; what is zero or less isn't bounded, but
// for sizes and for the counts inside of a connection, which take the default, and for None.
type Limits struct {
	// MaxRequestBytes is the largest frame, socket.request.max.bytes.
	MaxRequestBytes int
	// FrameMemory is the memory for the frames of all connections that are being read or kept for a parked request, as
	// queued.max.request.bytes. A connection whose frame doesn't fit is read later. Buffers up to freeBufferBytes are outside of it,
	// and so is one frame at a time (overdraft), so that there is always one that gets on.
	FrameMemory int64
	// FrameTimeout is how long a frame may take from its first byte to its last, time spent waiting for memory not counted.
	FrameTimeout time.Duration
	// IdleTimeout ends connections without a request, connections.max.idle.ms.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take no bytes while there are answers for it.
	WriteTimeout time.Duration
	// MaxConnections is max.connections: beyond it, accepting waits.
	MaxConnections int
	// MaxConnectionsPerIP is max.connections.per.ip, MaxConnectionsOfIP its overrides: beyond them, new ones are closed.
	MaxConnectionsPerIP int
	MaxConnectionsOfIP  map[netip.Addr]int
	// ConnectionsPerSecond is max.connection.creation.rate: beyond it, accepting slows down.
	ConnectionsPerSecond int
	// MaxParked is how many requests of a connection may wait for their answer, or behind one that does. Beyond it the connection
	// isn't read.
	MaxParked int
	// MaxQueuedBytes is how many bytes of frames and ready answers a connection may have queued, file ranges not counted. Beyond it the
	// connection isn't read.
	MaxQueuedBytes int64
}

// DefaultLimits are Kafka's defaults where it has one; its connections and frame memory are unbounded.
func DefaultLimits() Limits {
	return Limits{
		MaxRequestBytes: 100 << 20,
		FrameMemory:     256 << 20,
		FrameTimeout:    30 * time.Second,
		IdleTimeout:     10 * time.Minute,
		WriteTimeout:    time.Minute,
		MaxParked:       1000,
		MaxQueuedBytes:  8 << 20,
	}
}

// normal gives l with defaults for what can't be left open, and "no bound" as the largest value.
func (l Limits) normal() *Limits {
	d := DefaultLimits()
	orDefault(&l.MaxRequestBytes, d.MaxRequestBytes)
	orDefault(&l.FrameMemory, d.FrameMemory)
	orDefault(&l.MaxParked, d.MaxParked)
	orDefault(&l.MaxQueuedBytes, d.MaxQueuedBytes)
	orDefault(&l.FrameTimeout, math.MaxInt64)
	orDefault(&l.IdleTimeout, math.MaxInt64)
	orDefault(&l.WriteTimeout, math.MaxInt64)
	for _, n := range []*int{&l.MaxConnections, &l.MaxConnectionsPerIP} {
		if *n == None {
			*n = 0
		} else {
			orDefault(n, math.MaxInt)
		}
	}
	return &l
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// sweepEvery is how often connections are looked at for timeouts: often enough for the shortest of them, and not oftener than needed.
func (l *Limits) sweepEvery() time.Duration {
	shortest := min(l.FrameTimeout, l.IdleTimeout, l.WriteTimeout, quietAfter)
	return max(shortest/4, 5*time.Millisecond)
}

const (
	// quietAfter is how long a connection has to be silent before it gives back what it doesn't need: its stack, what is
	// left over of its buffer. It is also how late the end of a connection is noticed that came along with its last bytes.
	quietAfter = time.Second
	// steadyReads is after how many reads without a quiet time a connection counts as busy.
	steadyReads = 8
	// stalledAfter is how long a frame that holds memory others wait for may stand still.
	stalledAfter = 2 * time.Second
	// flushBytes is how much of ready answers leaves at the latest while further requests are in the read buffer.
	flushBytes = 64 << 10
	// flushAfter is how long ready answers wait at most for the handlers of further requests in the read buffer.
	flushAfter = 500 * time.Microsecond
	// keepFrameBytes is the size from which on a frame that a handler keeps is handed over with its buffer, not copied.
	keepFrameBytes = 32 << 10
	// smallFileBytes is the size up to which a file range is read and sent along with its neighbours.
	smallFileBytes = 16 << 10
	// copyBytes is the size up to which a run of memory is copied next to its neighbours.
	copyBytes = 2 << 10
	// maxHeaderTags is the most tags of a request header.
	maxHeaderTags = 10_000
	// maxNonCompactString is the longest string in a non-compact encoding (CONN-23).
	maxNonCompactString = 1<<15 - 1
)
