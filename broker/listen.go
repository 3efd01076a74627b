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

// bind opens every address of every listener, or none. IPv6's loopback may be missing on a machine; that is no error where IPv4's is there.
func bind(ctx context.Context, specs []listenerSpec) (bound []wire.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range bound {
				l.Net.Close()
			}
			bound = nil
		}
	}()
	var lc net.ListenConfig
	for _, spec := range specs {
		for _, address := range spec.addresses {
			all, err := expand(address)
			if err != nil {
				return bound, err
			}
			for i, a := range all {
				if i > 0 { // the second family of localhost: the port that the first one got
					_, port, _ := net.SplitHostPort(bound[len(bound)-1].Net.Addr().String())
					host, _, _ := net.SplitHostPort(a)
					a = net.JoinHostPort(host, port)
				}
				l, err := lc.Listen(ctx, "tcp", a)
				if err != nil && i > 0 && !errors.Is(err, syscall.EADDRINUSE) {
					continue
				}
				if errors.Is(err, syscall.EADDRINUSE) {
					return bound, fmt.Errorf("listen: the address %s is in use by another program; choose a free one with --listen", a)
				}
				if err != nil {
					return bound, fmt.Errorf("listen: can't listen on %s: %w", a, err)
				}
				bound = append(bound, wire.Listener{Name: spec.name, Net: l})
			}
		}
	}
	return bound, nil
}

// probe checks that the addresses can be bound, before anything else is started.
func probe(ctx context.Context, specs []listenerSpec) error {
	bound, err := bind(ctx, specs)
	for _, l := range bound {
		l.Net.Close()
	}
	return err
}
