package wire

import (
	"net"
	"time"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one row of the table a Server is given: the versions that it lets through. The ApiVersions answer may
// advertise others (Produce from 0 on); that is the handler's business.
type API struct {
	Key                    int16
	Name                   string
	MinVersion, MaxVersion int16
	// ReusesFrame says that the handler keeps no view into Body's byte slices after it returned, so that the frame goes back to
	// a pool at once. Elsewhere the frame belongs to the garbage collector.
	ReusesFrame bool
	// UnsafeStrings has the strings of Body be views into the frame, too. With ReusesFrame the handler must then clone each string
	// that it keeps after it returned.
	UnsafeStrings bool
	// ReusesBody says that the handler keeps nothing of Body at all after it returned, so that the struct is used again
	// for a later request of the same API. It needs ReusesFrame.
	ReusesBody bool
	// MayBlock says that the handler may wait for something before it returns: answers that are ready leave before it is called.
	MayBlock bool
}

// Request is one decoded request and the handle by which it is answered. Exactly one of Reply, ReplyBody, NoReply and Close
// must be called, once, from any goroutine, during Handle or later; further calls do nothing. Answers leave in the order of the requests.
type Request struct {
	Conn          *Conn
	Key, Version  int16
	CorrelationID int32
	ClientID      string // "" where it was null: see HasClientID
	HasClientID   bool
	Received      time.Time
	Bytes         int // size of the frame
	// Body is the decoded request. It is nil for an ApiVersions request of an unknown version, which arrives with
	// UnsupportedVersion set and is answered in version 0.
	Body               kmsg.Request
	UnsupportedVersion bool

	state replyState
}

// Body is an encoded response body (without size and header) as a list of runs; Release is called once when
// it was sent or dropped, and may be nil.
type Body struct {
	Chunks  []vfs.Chunk
	Release func()
}

// Listener names where a connection came in.
type Listener struct {
	Name string // PLAINTEXT, INTERNAL, ...
	Net  net.Listener
}

// Observation is what is known of a request once its answer was made.
type Observation struct {
	Key, Version int16
	// Result is the error code given by SetResult, 0 without.
	Result int16
	// Duration is the time from the arrival of the request's last byte to its answer being ready to leave.
	Duration time.Duration
	// BytesIn and BytesOut are the sizes of both frames without their size prefix; BytesOut is 0 where nothing was sent.
	BytesIn, BytesOut int64
}
