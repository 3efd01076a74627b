package broker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
)

const (
	// clientFileShare is the part of the process's file descriptors, as one in so many, that clients' connections may take. The rest is left to the
	// logs, whose active segments stay open, so that clients can't have writes fail.
	clientFileShare = 2
	// idleFileShare is the part that may stay open for segments that nobody uses, and maxIdleFiles the most, however many there are.
	idleFileShare = 8
	maxIdleFiles  = 1024
	// frameMemoryShare is the part of the memory budget that the frames of requests may take. A single frame may go beyond it, so that the largest
	// request gets through on the smallest machine.
	frameMemoryShare = 4
	// lookupTime is how long a host of max.connections.per.ip.overrides may take to look up.
	lookupTime = time.Second
)

// connectionSettings are the limits of connections that change at run time.
var connectionSettings = [...]string{"max.connections", "max.connections.per.ip", "max.connections.per.ip.overrides", "max.connection.creation.rate"}

// wireLimits reads the limits of connections and requests.
func (b *Broker) wireLimits(ctx context.Context, l config.Layers) (wire.Limits, error) {
	limits := wire.DefaultLimits()
	limits.MaxRequestBytes = b.cfg.Static.Int("socket.request.max.bytes")
	if n := b.cfg.Static.Long("queued.max.request.bytes"); n > 0 {
		limits.FrameMemory = n
	} else {
		limits.FrameMemory = memoryBudget(b.cfg) / frameMemoryShare
	}
	if ms := b.cfg.Static.Long("connections.max.idle.ms"); ms > 0 {
		limits.IdleTimeout = time.Duration(min(ms, int64(maxIdleTimeout/time.Millisecond))) * time.Millisecond
	} else if ms < 0 {
		limits.IdleTimeout = 0
	}
	limits.MaxConnections = count(l.Int(config.Broker, "max.connections"))
	if files, known := maxOpenFiles(); known && (limits.MaxConnections > files/clientFileShare) {
		limits.MaxConnections = files / clientFileShare
	}
	limits.MaxConnectionsPerIP = count(l.Int(config.Broker, "max.connections.per.ip"))
	limits.ConnectionsPerSecond = l.Int(config.Broker, "max.connection.creation.rate")
	var err error
	limits.MaxConnectionsOfIP, err = connectionOverrides(ctx, l.Effective(config.Broker, "max.connections.per.ip.overrides"))
	return limits, err
}

// maxIdleTimeout stands for never.
const maxIdleTimeout = 100 * 365 * 24 * time.Hour

// count is a number of connections as wire has it: Kafka's 0 lets none in.
func count(n int) int {
	if n <= 0 {
		return wire.None
	}
	return n
}

// connectionOverrides reads max.connections.per.ip.overrides. Hosts are looked up once; the limit holds for all of a host's addresses. What can be read
// holds beside an error.
func connectionOverrides(ctx context.Context, value string) (map[netip.Addr]int, error) {
	set, err := config.NewStatic(config.Setting{Name: "max.connections.per.ip.overrides", Value: value})
	if err != nil {
		return nil, err
	}
	byHost, err := set.ConnectionOverrides()
	if err != nil || len(byHost) == 0 {
		return nil, err
	}
	limits := map[netip.Addr]int{}
	for host, n := range byHost {
		if a, err := netip.ParseAddr(host); err == nil {
			limits[a.Unmap()] = n
			continue
		}
		lookup, cancel := context.WithTimeout(ctx, lookupTime)
		addrs, lookupErr := net.DefaultResolver.LookupNetIP(lookup, "ip", host)
		cancel()
		if lookupErr != nil {
			err = fmt.Errorf("max.connections.per.ip.overrides: the host %q isn't known: %w (allowed: addresses and hosts that can be looked up)", host, lookupErr)
		}
		for _, a := range addrs {
			limits[a.Unmap()] = n
		}
	}
	return limits, err
}

// followLimits has the server keep to limits of connections that are changed at run time.
func (b *Broker) followLimits(d cluster.Delta, img *cluster.Image) {
	for _, r := range d.Configs {
		if r.Type == cluster.ResourceBroker && (r.Name == "" || r.Name == strconv.Itoa(int(b.cfg.NodeID))) {
			b.changeLimits(img)
			return
		}
	}
}

func (b *Broker) changeLimits(img *cluster.Image) {
	layers := img.Layers(b.cfg.Static, b.cfg.NodeID, "")
	var values [len(connectionSettings)]string
	for i, name := range connectionSettings {
		values[i] = layers.Effective(config.Broker, name)
	}
	if values == b.limitedBy {
		return
	}
	b.limitedBy = values
	limits, err := b.wireLimits(context.Background(), layers)
	if err != nil {
		b.log.Warn("a limit of connections can't be kept", "error", err)
	}
	b.server.SetLimits(limits)
	b.log.Debug("limits of connections", "connections", limits.MaxConnections, "per_address", limits.MaxConnectionsPerIP, "per_second", limits.ConnectionsPerSecond)
}
