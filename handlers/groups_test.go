package handlers

import (
	"net"
	"testing"
)

func TestGroupCaller_addresses_are_written_as_in_Java(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:9":          "127.0.0.1",
		"[::1]:9":              "0:0:0:0:0:0:0:1",
		"[::ffff:10.0.0.1]:9":  "10.0.0.1",
		"[fe80::1:ab%eth0]:9":  "fe80:0:0:0:0:0:1:ab%eth0",
		"[2001:db8::ff00:1]:9": "2001:db8:0:0:0:0:ff00:1",
	} {
		addr, err := net.ResolveTCPAddr("tcp", given)
		if err != nil {
			t.Fatal(err)
		}
		if got := javaAddress(addr); got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
}

func TestFindCoordinator_keys_of_share_groups(t *testing.T) {
	const id = "p6d2k39WTdanNPIes1m_IA"
	for key, want := range map[string]bool{
		"g:" + id + ":0": true, "a:b:" + id + ":12": true,
		"g": false, "g:" + id: false, ":" + id + ":0": false, "g:" + id + ":x": false, "g:" + id + ":-1": false, "g:short:0": false, "": false,
	} {
		if got := isShareKey(key); got != want {
			t.Errorf("%q: got %v, want %v", key, got, want)
		}
	}
}
