package broker

import (
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
)

func limitsOf(t *testing.T, settings map[string]string) wire.Limits {
	t.Helper()
	b := &Broker{cfg: given(t, settings)}
	l, err := b.wireLimits(t.Context(), config.Layers{Static: b.cfg.Static})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimits_of_requests_come_from_settings_and_the_memory_budget(t *testing.T) {
	tests := []struct {
		name     string
		settings map[string]string
		check    func(wire.Limits) bool
	}{
		{"a quarter of the budget", map[string]string{"memory-budget": "1GiB"}, func(l wire.Limits) bool { return l.FrameMemory == 256<<20 }},
		{"a small machine", map[string]string{"memory-budget": "16MiB"}, func(l wire.Limits) bool { return l.FrameMemory == 4<<20 }},
		{"said outright", map[string]string{"memory-budget": "16MiB", "kafka:queued.max.request.bytes": "200000000"}, func(l wire.Limits) bool { return l.FrameMemory == 200000000 }},
		{"the largest request", map[string]string{"kafka:socket.request.max.bytes": "1000000"}, func(l wire.Limits) bool { return l.MaxRequestBytes == 1000000 }},
		{"idle", map[string]string{"kafka:connections.max.idle.ms": "1500"}, func(l wire.Limits) bool { return l.IdleTimeout == 1500*time.Millisecond }},
		{"never idle", map[string]string{"kafka:connections.max.idle.ms": "-1"}, func(l wire.Limits) bool { return l.IdleTimeout == 0 }},
		{"idle for ages", map[string]string{"kafka:connections.max.idle.ms": "9223372036854775807"}, func(l wire.Limits) bool { return l.IdleTimeout > 24*time.Hour }},
		{"connections", map[string]string{"kafka:max.connections": "7"}, func(l wire.Limits) bool { return l.MaxConnections == 7 }},
		{"no connections", map[string]string{"kafka:max.connections": "0"}, func(l wire.Limits) bool { return l.MaxConnections == wire.None }},
		{"connections of an address", map[string]string{"kafka:max.connections.per.ip": "3"}, func(l wire.Limits) bool { return l.MaxConnectionsPerIP == 3 }},
		{"new connections", map[string]string{"kafka:max.connection.creation.rate": "5"}, func(l wire.Limits) bool { return l.ConnectionsPerSecond == 5 }},
		{"overrides alone", map[string]string{"kafka:max.connections.per.ip": "0", "kafka:max.connections.per.ip.overrides": "10.0.0.1:4,::1:2, 127.0.0.1:0"}, func(l wire.Limits) bool {
			return l.MaxConnectionsPerIP == wire.None && maps.Equal(l.MaxConnectionsOfIP, map[netip.Addr]int{
				netip.MustParseAddr("10.0.0.1"): 4, netip.MustParseAddr("::1"): 2, netip.MustParseAddr("127.0.0.1"): 0,
			})
		}},
		{"overrides by name", map[string]string{"kafka:max.connections.per.ip.overrides": "localhost:4"}, func(l wire.Limits) bool {
			return l.MaxConnectionsOfIP[netip.MustParseAddr("127.0.0.1")] == 4
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if l := limitsOf(t, tt.settings); !tt.check(l) {
				t.Errorf("%+v", l)
			}
		})
	}
}

func TestLimits_connections_leave_descriptors_to_the_logs(t *testing.T) {
	files, known := maxOpenFiles()
	if !known {
		t.Skip("this system has no limit of descriptors")
	}
	if l := limitsOf(t, nil); l.MaxConnections != files/clientFileShare {
		t.Errorf("%d connections with %d descriptors", l.MaxConnections, files)
	}
	if l := limitsOf(t, map[string]string{"kafka:max.connections": "2000000000"}); l.MaxConnections != files/clientFileShare {
		t.Errorf("%d connections with %d descriptors, when more are allowed", l.MaxConnections, files)
	}
}

func TestLimits_a_host_that_is_unknown_is_no_limit(t *testing.T) {
	_, err := Start(t.Context(), given(t, map[string]string{"kafka:max.connections.per.ip.overrides": "nosuch.invalid:4"}), nopLog())
	if err == nil || !strings.Contains(err.Error(), `max.connections.per.ip.overrides: the host "nosuch.invalid" isn't known`) {
		t.Errorf("%v", err)
	}
}

func TestLimits_without_a_budget_there_is_one_all_the_same(t *testing.T) {
	if n := memoryBudget(&config.Config{}); n != unknownMachineBudget {
		t.Errorf("%d bytes", n)
	}
}

func TestLimits_none_but_the_named_addresses_get_in(t *testing.T) {
	b, _ := started(t, map[string]string{"kafka:max.connections.per.ip": "0", "kafka:max.connections.per.ip.overrides": "10.0.0.1:4"})
	if !refused(t, b.Addrs()[0]) {
		t.Error("127.0.0.1 got in")
	}
	b, _ = started(t, map[string]string{"kafka:max.connections.per.ip": "0", "kafka:max.connections.per.ip.overrides": "10.0.0.1:4,127.0.0.1:1"})
	if refused(t, b.Addrs()[0]) {
		t.Error("127.0.0.1 is kept out")
	}
}

// refused says whether the broker closes a connection at once.
func refused(t *testing.T, addr string) bool {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// ApiVersions, version 0, correlation 0, no client id: 10 bytes.
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff}); err != nil {
		return true
	}
	_, err = io.ReadFull(c, make([]byte, 4))
	return err != nil
}

func TestLimits_of_connections_change_at_run_time(t *testing.T) {
	b, lines := started(t, nil)
	addr := b.Addrs()[0]
	cl := client(t, addr)
	if err := cl.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if refused(t, addr) {
		t.Fatal("refused without a limit")
	}
	alter(t, cl, map[string]string{"max.connections.per.ip": "1"})
	if !refused(t, addr) {
		t.Error("let in though max.connections.per.ip is 1")
	}
	alter(t, cl, map[string]string{"max.connections.per.ip.overrides": "127.0.0.1:50"})
	if refused(t, addr) {
		t.Error("refused though 127.0.0.1 may have 50")
	}
	if !strings.Contains(lines.String(), "limits of connections") {
		t.Errorf("limits aren't logged at debug:\n%s", lines)
	}
}
