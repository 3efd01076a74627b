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
	// ReusesFrame says that the handler keeps no view into Body's bytes after it returned, so that the frame goes back to a pool at once.
	// Elsewhere the frame belongs to the garbage collector.
	ReusesFrame bool
}

// Request is one decoded request and the handle by which it is answered. Exactly one of Reply, ReplyBody, NoReply and Close
// must be called, once, from any goroutine, during Handle or later. Answers leave in the order of the requests.
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

	state replyState // wire's own
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
