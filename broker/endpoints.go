package broker

import (
	"bufio"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
)

// hostPort is an address that clients are told.
type hostPort struct {
	host string
	port int32
}

// endpoints decides at which address a client is told to come back. For this broker itself, in this order: what was set at run time for
// the listener, what the configuration advertises, and otherwise ("auto") the address that the client's connection came in on; a client that came
// through the machine's default gateway (a container's published port) is told localhost and the listener's port.
// For other brokers it is what they registered.
type endpoints struct {
	nodeID    int32
	gateways  map[netip.Addr]bool
	listeners []string

	mu         sync.RWMutex
	configured map[string]hostPort // by listener; absent means auto
	override   map[string]hostPort // set at run time
}

func newEndpoints(cfg *config.Config) *endpoints {
	e := &endpoints{nodeID: cfg.NodeID, gateways: defaultGateways(), configured: map[string]hostPort{}, override: map[string]hostPort{}}
	for _, l := range cfg.Listeners {
		e.listeners = append(e.listeners, l.Name)
		if l.AdvertisedHost != "" {
			e.configured[l.Name] = hostPort{l.AdvertisedHost, l.AdvertisedPort}
		}
	}
	return e
}

// Endpoint is where the client of c reaches broker b.
func (e *endpoints) Endpoint(c *wire.Conn, b *cluster.BrokerInfo) (host string, port int32, ok bool) {
	if b.ID != e.nodeID {
		for _, ep := range b.Endpoints {
			if ep.Listener == c.Listener() {
				return ep.Host, ep.Port, true
			}
		}
		return "", 0, false
	}
	e.mu.RLock()
	hp, found := e.override[c.Listener()]
	if !found {
		hp, found = e.configured[c.Listener()]
	}
	e.mu.RUnlock()
	if found {
		return hp.host, hp.port, true
	}
	return e.auto(c.LocalAddr(), c.RemoteAddr())
}

// auto derives the address from the connection itself.
func (e *endpoints) auto(localAddr, remoteAddr net.Addr) (string, int32, bool) {
	local, err := netip.ParseAddrPort(localAddr.String())
	if err != nil {
		return "localhost", 9092, true // not TCP: an in-process pipe
	}
	if remote, err := netip.ParseAddrPort(remoteAddr.String()); err == nil && e.gateways[remote.Addr().Unmap().WithZone("")] {
		return "localhost", int32(local.Port()), true
	}
	return local.Addr().Unmap().WithZone("").String(), int32(local.Port()), true
}

// SetAdvertised overrides what a listener's clients are told, at run time; an empty host takes the override back.
func (e *endpoints) SetAdvertised(listener, host string, port int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if host == "" {
		delete(e.override, listener)
		return
	}
	e.override[listener] = hostPort{host, port}
}

// Listeners names the listeners.
func (e *endpoints) Listeners() []string { return e.listeners }

// Advertised says what a listener's clients are told, "auto" where it depends on the connection.
func (e *endpoints) Advertised(listener string) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	hp, ok := e.override[listener]
	if !ok {
		hp, ok = e.configured[listener]
	}
	if !ok {
		return "auto"
	}
	return net.JoinHostPort(hp.host, strconv.Itoa(int(hp.port)))
}

// Linux's tables of routes.
const (
	routesIPv4 = "/proc/net/route"
	routesIPv6 = "/proc/net/ipv6_route"
)

// defaultGateways reads the machine's default routes. Where the system has no such files there are none.
func defaultGateways() map[netip.Addr]bool {
	found := map[netip.Addr]bool{}
	for path, parse := range map[string]func(line string) (netip.Addr, bool){routesIPv4: gatewayIPv4, routesIPv6: gatewayIPv6} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if a, ok := parse(s.Text()); ok {
				found[a] = true
			}
		}
		_ = f.Close()
	}
	return found
}

// gatewayIPv4 reads a line of routesIPv4: interface, destination, gateway, flags and so on, addresses in hexadecimal from the last byte to the first.
func gatewayIPv4(line string) (netip.Addr, bool) {
	f := strings.Fields(line)
	if len(f) < 3 || f[1] != "00000000" {
		return netip.Addr{}, false
	}
	b, err := hex.DecodeString(f[2])
	if err != nil || len(b) != 4 {
		return netip.Addr{}, false
	}
	a := netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]})
	return a, !a.IsUnspecified()
}

// gatewayIPv6 reads a line of routesIPv6: destination, its prefix's length, source, its prefix's length, next hop and so on.
func gatewayIPv6(line string) (netip.Addr, bool) {
	f := strings.Fields(line)
	if len(f) < 5 || f[1] != "00" {
		return netip.Addr{}, false
	}
	b, err := hex.DecodeString(f[4])
	if err != nil || len(b) != 16 {
		return netip.Addr{}, false
	}
	a := netip.AddrFrom16([16]byte(b))
	return a, !a.IsUnspecified()
}
