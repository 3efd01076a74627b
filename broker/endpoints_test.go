package broker

import (
	"net"
	"net/netip"
	"testing"
)

func TestGateways_are_read_from_the_tables_of_routes(t *testing.T) {
	v4 := map[string]string{
		"eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0":                                    "172.17.0.1",
		"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0":                                    "", // its own network
		"eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0":                                    "", // a default route without a gateway
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT          ": "",
		"": "", "eth0 00000000": "", "eth0 00000000 0100": "", "eth0 00000000 zz0011AC": "",
	}
	for line, want := range v4 {
		a, ok := gatewayIPv4(line)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q gives %v, %v, want %q", line, a, ok, want)
		}
	}
	const zeroes = "00000000000000000000000000000000"
	v6 := map[string]string{
		zeroes + " 00 " + zeroes + " 00 fe800000000000000042000000000001 00000400 00000001 00000000 00000003     eth0":                        "fe80::42:0:0:1",
		zeroes + " 00 " + zeroes + " 00 " + zeroes + " ffffffff 00000001 00000000 00200200       lo":                                          "",
		"fe800000000000000000000000000000 40 " + zeroes + " 00 " + zeroes + " 00000100 00000001 00000000 00000001     eth0":                   "",
		"fe800000000000000000000000000000 40 " + zeroes + " 00 fe800000000000000042000000000001 00000100 00000001 00000000 00000001     eth0": "",
		"": "", zeroes + " 00": "", zeroes + " 00 " + zeroes + " 00 fe80": "",
	}
	for line, want := range v6 {
		a, ok := gatewayIPv6(line)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q gives %v, %v, want %q", line, a, ok, want)
		}
	}
}

func tcp(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestEndpoints_auto_is_the_address_at_which_the_client_came_in(t *testing.T) {
	cfg := given(t, nil)
	e := newEndpoints(cfg)
	e.gateways = map[netip.Addr]bool{netip.MustParseAddr("172.17.0.1"): true, netip.MustParseAddr("fe80::42:0:0:1"): true}
	tests := []struct {
		name, local, remote, host string
		port                      int32
	}{
		{"loopback", "127.0.0.1:9092", "127.0.0.1:50000", "127.0.0.1", 9092},
		{"loopback, IPv6", "[::1]:9092", "[::1]:50000", "::1", 9092},
		{"another machine", "192.168.1.5:9093", "192.168.1.77:50000", "192.168.1.5", 9093},
		{"another container", "172.17.0.2:9092", "172.17.0.3:50000", "172.17.0.2", 9092},
		{"the host, through a published port", "172.17.0.2:9092", "172.17.0.1:50000", "localhost", 9092},
		{"the same with a socket for both families", "[::ffff:172.17.0.2]:9092", "[::ffff:172.17.0.1]:50000", "localhost", 9092},
		{"the same over IPv6", "[fe80::42:0:0:2%eth0]:9092", "[fe80::42:0:0:1%eth0]:50000", "localhost", 9092},
		{"IPv4 on a socket for both families", "[::ffff:10.0.0.5]:9092", "[::ffff:10.0.0.9]:50000", "10.0.0.5", 9092},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if host, port, ok := e.auto(tcp(tt.local), tcp(tt.remote)); host != tt.host || port != tt.port || !ok {
				t.Errorf("told %s:%d, %v, want %s:%d", host, port, ok, tt.host, tt.port)
			}
		})
	}
}

func TestEndpoints_what_is_set_at_run_time_wins_over_the_configuration_and_that_over_auto(t *testing.T) {
	cfg := given(t, map[string]string{
		"kafka:listeners": "A://127.0.0.1:0,B://127.0.0.1:0", "kafka:listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT",
		"kafka:inter.broker.listener.name": "A", "kafka:advertised.listeners": "A://kafka.example.com:9092",
	})
	e := newEndpoints(cfg)
	told := func(listener, want string) {
		t.Helper()
		if got := e.Advertised(listener); got != want {
			t.Errorf("%s's clients are told %q, want %q", listener, got, want)
		}
	}
	told("A", "kafka.example.com:9092")
	told("B", "auto")
	e.SetAdvertised("A", "::1", 1)
	e.SetAdvertised("B", "b", 2)
	told("A", "[::1]:1")
	told("B", "b:2")
	e.SetAdvertised("A", "", 0)
	e.SetAdvertised("B", "", 0)
	told("A", "kafka.example.com:9092")
	told("B", "auto")
	if got := e.Listeners(); len(got) != 2 || got[0] != "A" || got[1] != "B" {
		t.Errorf("listeners %v", got)
	}
}
