//go:build unix

package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundSocket is a socket that has its address but doesn't listen.
type boundSocket struct {
	fd   int
	name string
}

// bind makes a socket with an address.
func bind(ctx context.Context, address string) (boundSocket, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return boundSocket{}, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return boundSocket{}, err
	}
	if host == "" { // all interfaces: both families where there are two
		if s, err := bindIP(nil, n, true); err == nil || errors.Is(err, syscall.EADDRINUSE) {
			return s, err
		}
		return bindIP(net.IPv4zero, n, false)
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return boundSocket{}, err
	}
	return bindIP(addrs[0].IP, n, addrs[0].IP.To4() == nil && addrs[0].IP.IsUnspecified())
}

// bindIP binds one address; dual has an IPv6 socket take IPv4 as well.
func bindIP(ip net.IP, port int, dual bool) (s boundSocket, err error) {
	family := unix.AF_INET6
	var address unix.Sockaddr
	if v4 := ip.To4(); v4 != nil {
		family = unix.AF_INET
		address = &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}
	} else {
		v6 := &unix.SockaddrInet6{Port: port}
		copy(v6.Addr[:], ip.To16())
		address = v6
	}
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return boundSocket{}, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return boundSocket{}, err
	}
	if family == unix.AF_INET6 {
		only := 1
		if dual {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return boundSocket{}, err
		}
	}
	if err := unix.Bind(fd, address); err != nil {
		return boundSocket{}, err
	}
	return boundSocket{fd: fd, name: fmt.Sprintf("%s:%d", ip, port)}, nil
}

// port is the port that the socket got.
func (s boundSocket) port() int {
	address, err := unix.Getsockname(s.fd)
	if err != nil {
		return 0
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

// listen has the socket take connections. The socket is the listener's from then on.
func (s boundSocket) listen() (net.Listener, error) {
	defer s.close()
	if err := unix.SetNonblock(s.fd, true); err != nil {
		return nil, err
	}
	if err := unix.Listen(s.fd, unix.SOMAXCONN); err != nil {
		return nil, fmt.Errorf("can't listen on %s: %w", s.name, err)
	}
	dup, err := unix.Dup(s.fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), s.name)
	defer f.Close()
	return net.FileListener(f)
}

func (s boundSocket) close() { unix.Close(s.fd) }
