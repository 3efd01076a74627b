package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/kbroker/kbroker/wire"
)

// listenerSpec is one named listener and the addresses it binds.
type listenerSpec struct {
	name      string
	addresses []string // host:port; host "localhost" means both loopback families, "" all interfaces
}

// expand gives the addresses to bind: localhost is both loopback families, where the machine has them.
func expand(address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %q is not HOST:PORT", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return nil, fmt.Errorf("listen: %q: the port must be a number from 0 to 65535", address)
	}
	if host == "localhost" {
		return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}, nil
	}
	return []string{address}, nil
}

// reservation is an address that is ours but takes no connections yet: a client that comes now is refused.
type reservation struct {
	listener string
	socket   boundSocket
}

// reserve binds every address of every listener, or none, so that a port in use is known before anything else is started. IPv6's loopback
// may be missing on a machine; that is no error where IPv4's is there.
func reserve(ctx context.Context, specs []listenerSpec) (reserved []reservation, err error) {
	defer func() {
		if err != nil {
			release(reserved)
			reserved = nil
		}
	}()
	for _, spec := range specs {
		for _, address := range spec.addresses {
			all, err := expand(address)
			if err != nil {
				return reserved, err
			}
			for i, a := range all {
				if i > 0 { // the second family of localhost: the port that the first one got
					host, _, _ := net.SplitHostPort(a)
					a = net.JoinHostPort(host, strconv.Itoa(reserved[len(reserved)-1].socket.port()))
				}
				socket, err := bind(ctx, a)
				if err != nil && i > 0 && !errors.Is(err, syscall.EADDRINUSE) {
					continue
				}
				if errors.Is(err, syscall.EADDRINUSE) {
					return reserved, fmt.Errorf("listen: the address %s is in use by another program; choose a free one with --listen", a)
				}
				if err != nil {
					return reserved, fmt.Errorf("listen: can't listen on %s: %w", a, err)
				}
				reserved = append(reserved, reservation{spec.name, socket})
			}
		}
	}
	return reserved, nil
}

// open has the reserved addresses take connections. The reservations are used up, whatever comes out.
func open(reserved []reservation) (listeners []wire.Listener, err error) {
	for i, r := range reserved {
		l, err := r.socket.listen()
		if err != nil {
			release(reserved[i+1:])
			for _, l := range listeners {
				l.Net.Close()
			}
			return nil, fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, wire.Listener{Name: r.listener, Net: l})
	}
	return listeners, nil
}

// release gives reserved addresses up.
func release(reserved []reservation) {
	for _, r := range reserved {
		r.socket.close()
	}
}
