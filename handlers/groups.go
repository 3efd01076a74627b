package handlers

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/kbroker/kbroker/wire"
)

const (
	// groupOperations are the authorized operations of a group: read, delete, describe, describe and alter configs.
	groupOperations int32 = 3400
	// internalTopicTimeout bounds the creation of a coordinator's topic.
	internalTopicTimeout = 10 * time.Second
)

// groupCaller is who asks, as the group coordinator keeps it of its members.
func groupCaller(r *wire.Request) GroupCaller {
	return GroupCaller{ClientID: r.ClientID, ClientHost: "/" + javaAddress(r.Conn.RemoteAddr())}
}

// javaAddress is an address as Java writes it: IPv6 in eight groups without leading zeros.
func javaAddress(a net.Addr) string {
	addrPort, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	addr := addrPort.Addr().Unmap()
	if addr.Is4() {
		return addr.String()
	}
	b := addr.As16()
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = strconv.FormatUint(uint64(b[2*i])<<8|uint64(b[2*i+1]), 16)
	}
	if zone := addr.Zone(); zone != "" {
		return strings.Join(groups, ":") + "%" + zone
	}
	return strings.Join(groups, ":")
}
