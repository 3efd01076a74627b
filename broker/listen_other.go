//go:build !unix

package broker

import (
	"context"
	"net"
)

// boundSocket is an address that will be listened on: where a socket can't be bound without listening, nothing is reserved.
type boundSocket struct{ address string }

func bind(_ context.Context, address string) (boundSocket, error) { return boundSocket{address}, nil }
func (s boundSocket) port() int                                   { return 0 }
func (s boundSocket) close()                                      {}

func (s boundSocket) listen() (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.address)
}
