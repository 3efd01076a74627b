package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
)

// listenerSpec is one named listener and the addresses it binds.
type listenerSpec struct {
	name      string
	addresses []string // host:port; host "localhost" means both loopback families, "" all interfaces
	setting   string   // where they come from
}

func listenerSpecs(cfg *config.Config) []listenerSpec {
	setting := "listen"
	if o := cfg.Static.Origin("listeners"); o.Kind != config.FromDefault {
		setting = o.String()
	}
	var specs []listenerSpec
	for _, l := range cfg.Listeners {
		specs = append(specs, listenerSpec{l.Name, l.Addresses, setting})
	}
	return specs
}

// cantListen says why an address can't be listened on, which setting it comes from and what is allowed.
func cantListen(setting, address string, err error, allowed string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: the address %s is in use by another program (allowed: %s)", setting, address, allowed)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("%s: can't listen on %s: %w (allowed: an address of this machine, HOST:PORT)", setting, address, err)
}

// aFreeAddress is what is allowed where an address is in use.
const aFreeAddress = "a free address, HOST:PORT"

// reservation is an address that is ours but takes no connections yet: a client that comes now is refused.
type reservation struct {
	listenerSpec
	address string
	socket  boundSocket
}

// reserve binds every address of every listener, or none, so that a port in use is known before anything else is started.
func reserve(ctx context.Context, specs []listenerSpec) (reserved []reservation, err error) {
	defer func() {
		if err != nil {
			release(reserved)
			reserved = nil
		}
	}()
	for _, spec := range specs {
		for _, address := range spec.addresses {
			sockets, err := bindAll(ctx, address)
			for _, s := range sockets {
				reserved = append(reserved, reservation{spec, address, s})
			}
			if err != nil {
				return reserved, cantListen(spec.setting, address, err, aFreeAddress)
			}
		}
	}
	return reserved, nil
}

// portTries is how many free ports of one family of loopback are tried until one is free in the other too.
const portTries = 20

// bindAll binds HOST:PORT; localhost is both families of loopback, with one port. What is bound is given beside an error too.
func bindAll(ctx context.Context, address string) (sockets []boundSocket, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host != "localhost" {
		s, err := bind(ctx, address)
		if err != nil {
			return nil, err
		}
		return []boundSocket{s}, nil
	}
	for range portTries {
		if sockets, err = bindLoopback(ctx, port); port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		for _, s := range sockets {
			s.close()
		}
		sockets = nil
	}
	return sockets, err
}

// bindLoopback binds a port of both families, or of the one that the machine has.
func bindLoopback(ctx context.Context, port string) (sockets []boundSocket, err error) {
	first, err := bind(ctx, net.JoinHostPort("127.0.0.1", port))
	switch {
	case err == nil:
		sockets = append(sockets, first)
		if n := first.port(); n > 0 {
			port = strconv.Itoa(n)
		}
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, err
	}
	second, secondErr := bind(ctx, net.JoinHostPort("::1", port))
	switch {
	case secondErr == nil:
		return append(sockets, second), nil
	case err == nil && !errors.Is(secondErr, syscall.EADDRINUSE):
		return sockets, nil // this machine has no IPv6
	case err == nil:
		return sockets, secondErr
	}
	return nil, err
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
			return nil, cantListen(r.setting, r.address, err, aFreeAddress)
		}
		listeners = append(listeners, wire.Listener{Name: r.name, Net: l})
	}
	return listeners, nil
}

// release gives reserved addresses up.
func release(reserved []reservation) {
	for _, r := range reserved {
		r.socket.close()
	}
}
