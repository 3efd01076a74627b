package wire

import (
	"context"
	"github.com/twmb/franz-go/pkg/kmsg"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

type replyState struct{}
type Conn struct{}

func (c *Conn) ID() uint64                             { return 0 }
func (c *Conn) Listener() string                       { return "" }
func (c *Conn) LocalAddr() net.Addr                    { return nil }
func (c *Conn) RemoteAddr() net.Addr                   { return nil }
func (c *Conn) OnClose(f func()) (cancel func())       { return func() {} }
func (c *Conn) SetClientSoftware(name, version string) {}
func (c *Conn) ClientSoftware() (name, version string) { return }
func (r *Request) Reply(resp kmsg.Response)            {}
func (r *Request) ReplyBody(b Body)                    {}
func (r *Request) NoReply()                            {}
func (r *Request) Close(err error)                     {}
func (r *Request) SetResult(code int16)                {}

// OnGone has f called once if the connection ends before the request was answered.
func (r *Request) OnGone(f func()) {}

type Limits struct {
	MaxRequestBytes                         int
	FrameMemory                             int64
	FrameTimeout, IdleTimeout, WriteTimeout time.Duration
	MaxConnections, MaxConnectionsPerIP     int
	MaxConnectionsOfIP                      map[netip.Addr]int
	ConnectionsPerSecond                    int
	MaxParked                               int
	MaxQueuedReplyBytes                     int64
}

func DefaultLimits() Limits { return Limits{} }

type Config struct {
	APIs    []API
	Handle  func(*Request)
	Limits  Limits
	Logger  *slog.Logger
	Observe func(Observation)
}
type Server struct{}

func New(cfg Config) *Server                                     { return nil }
func (s *Server) Serve(ctx context.Context, ls []Listener) error { return nil }
func (s *Server) Shutdown(ctx context.Context) error             { return nil }
func (s *Server) SetLimits(l Limits)                             {}

type Stats struct {
	Connections                          int
	ConnectionsTotal, ConnectionsRefused uint64
	FrameMemoryInUse, FrameMemory        int64
	Parked                               int64
}

func (s *Server) Stats() Stats { return Stats{} }
