package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// securityProtocols are Kafka's; only the first is served yet.
var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// endpoint is NAME://HOST:PORT, read.
type endpoint struct {
	name, host string
	port       int
}

func (e endpoint) address() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// parseEndpoint reads NAME://HOST:PORT. Names count in upper case, as in Kafka.
func parseEndpoint(s string) (endpoint, error) {
	name, address, ok := strings.Cut(s, "://")
	if !ok || name == "" || strings.ContainsAny(name, " :/") {
		return endpoint{}, fmt.Errorf("%q is not NAME://HOST:PORT", s)
	}
	if err := checkAddress(address); err != nil {
		return endpoint{}, err
	}
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return endpoint{name: strings.ToUpper(name), host: host, port: n}, nil
}

// resolveListeners makes the listeners of --listen and --advertise, or of Kafka's listeners and advertised.listeners. Kafka's
// properties say more, so they win over --listen and --advertise unless those are flags and they are not.
func (b *builder) resolveListeners() ([]Listener, error) {
	endpoints, problem, err := b.listenEndpoints()
	if err != nil {
		return nil, err
	}
	protocols, err := b.protocols()
	if err != nil {
		return nil, err
	}
	controllers := b.upper("controller.listener.names")
	var listeners []Listener
	index := map[string]int{}
	for _, e := range endpoints {
		if slices.Contains(controllers, e.name) {
			continue
		}
		protocol, ok := protocols[e.name]
		if !ok {
			return nil, problem("no security protocol is defined for the listener %s (allowed: a listener of listener.security.protocol.map)", e.name)
		}
		if protocol != securityProtocols[0] {
			return nil, problem("the listener %s uses %s (allowed: PLAINTEXT, which is all that this version serves)", e.name, protocol)
		}
		i, found := index[e.name]
		if !found {
			i = len(listeners)
			index[e.name] = i
			listeners = append(listeners, Listener{Name: e.name})
		}
		for _, l := range listeners {
			if e.port != 0 && slices.Contains(l.Addresses, e.address()) {
				return nil, problem("the address %s is there twice", e.address())
			}
		}
		listeners[i].Addresses = append(listeners[i].Addresses, e.address())
	}
	if len(listeners) == 0 {
		return nil, problem("there is no listener for clients (allowed: at least one that isn't in controller.listener.names)")
	}
	if err := b.resolveAdvertised(listeners, index, controllers); err != nil {
		return nil, err
	}
	if name, set := b.get("inter.broker.listener.name"); set {
		if _, ok := index[strings.ToUpper(name.Value)]; !ok {
			return nil, fmt.Errorf("%s: inter.broker.listener.name: there is no listener %s (allowed: one of listeners)", name.Origin, name.Value)
		}
	}
	return listeners, nil
}

type problemFunc func(format string, args ...any) error

func propertyProblem(s Setting) problemFunc {
	return func(format string, args ...any) error {
		return fmt.Errorf("%s: %s: %s", s.Origin, s.Name, fmt.Sprintf(format, args...))
	}
}

// listenEndpoints gives what is to be listened on, and how to say what is wrong with it.
func (b *builder) listenEndpoints() ([]endpoint, problemFunc, error) {
	listen := b.own[ownListen]
	property, set := b.get("listeners")
	if !set {
		property, set = b.derivedListeners(listen)
	}
	if set && !(listen.origin.Kind == FromFlag && property.Origin.Kind != FromFlag) {
		b.listenFrom = property.Origin
		problem := propertyProblem(property)
		var endpoints []endpoint
		var names []string
		for _, s := range SplitList(property.Value) {
			e, err := parseEndpoint(s)
			if err != nil {
				return nil, nil, problem("%v", err)
			}
			if slices.Contains(names, e.name) && !slices.ContainsFunc(endpoints, func(o endpoint) bool { return o.name == e.name && o.port == e.port && isIPv6(o.host) != isIPv6(e.host) }) {
				return nil, nil, problem("each listener must have a different name; %s is there twice", e.name)
			}
			endpoints, names = append(endpoints, e), append(names, e.name)
		}
		return endpoints, problem, nil
	}
	b.listenFrom = listen.origin
	problem := func(format string, args ...any) error { return listen.problem(ownListen, format, args...) }
	var endpoints []endpoint
	for _, s := range listen.values {
		if !strings.Contains(s, "://") {
			s = DefaultListener + "://" + s
		}
		e, err := parseEndpoint(s)
		if err != nil {
			return nil, nil, problem("%v", err)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, problem, nil
}

// derivedListeners does what Kafka's container images do where only KAFKA_ADVERTISED_LISTENERS is set: they listen on its ports on all interfaces.
func (b *builder) derivedListeners(listen ownValue) (Setting, bool) {
	advertised, set := b.get("advertised.listeners")
	if !set || advertised.Origin.Kind != FromEnvironment || listen.origin.Kind > FromEnvironment {
		return Setting{}, false
	}
	var derived []string
	for _, s := range SplitList(advertised.Value) {
		e, err := parseEndpoint(s)
		if err != nil {
			return Setting{}, false // resolveAdvertised says what is wrong
		}
		e.host = "0.0.0.0"
		derived = append(derived, e.name+"://"+e.address())
	}
	return Setting{Name: "listeners", Value: strings.Join(derived, ","), Origin: advertised.Origin}, true
}

func isIPv6(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is6()
}

// protocols reads listener.security.protocol.map. Where it isn't set, listeners are named after their protocols, and controllers' listeners are PLAINTEXT.
func (b *builder) protocols() (map[string]string, error) {
	protocols := map[string]string{}
	s, set := b.get("listener.security.protocol.map")
	if !set {
		for _, p := range securityProtocols {
			protocols[p] = p
		}
		return protocols, nil
	}
	for _, entry := range SplitList(s.Value) {
		name, protocol, ok := strings.Cut(entry, ":")
		protocol = strings.ToUpper(trim(protocol))
		if !ok || trim(name) == "" || !slices.Contains(securityProtocols, protocol) {
			return nil, propertyProblem(s)("%q is not NAME:PROTOCOL (allowed protocols: %s)", entry, strings.Join(securityProtocols, ", "))
		}
		protocols[strings.ToUpper(trim(name))] = protocol
	}
	return protocols, nil
}

// resolveAdvertised sets what clients of each listener are told.
func (b *builder) resolveAdvertised(listeners []Listener, index map[string]int, controllers []string) error {
	property, set := b.get("advertised.listeners")
	advertise := b.own[ownAdvertise]
	b.advertiseFrom = advertise.origin
	if set && !(advertise.origin.Kind == FromFlag && property.Origin.Kind != FromFlag) {
		b.advertiseFrom = property.Origin
		for _, s := range SplitList(property.Value) {
			problem := propertyProblem(property)
			e, err := parseEndpoint(s)
			if err != nil {
				return problem("%v", err)
			}
			if slices.Contains(controllers, e.name) {
				continue
			}
			i, ok := index[e.name]
			if !ok {
				return problem("there is no listener %s (allowed: names of listeners)", e.name)
			}
			if err := advertisable(e); err != nil {
				return problem("%v", err)
			}
			listeners[i].AdvertisedHost, listeners[i].AdvertisedPort = e.host, int32(e.port)
		}
		return nil
	}
	for _, s := range advertise.values {
		if s == "auto" {
			continue
		}
		problem := func(err error) error {
			return advertise.problem(ownAdvertise, "%v (allowed: auto or HOST:PORT)", err)
		}
		name, address, named := strings.Cut(s, "://")
		if !named {
			address = s
			name = "ALL"
		}
		e, err := parseEndpoint(name + "://" + address)
		if err != nil {
			return problem(err)
		}
		if err := advertisable(e); err != nil {
			return problem(err)
		}
		if _, ok := index[e.name]; named && !ok {
			return problem(fmt.Errorf("there is no listener %s", e.name))
		}
		for i := range listeners {
			if !named || listeners[i].Name == e.name {
				listeners[i].AdvertisedHost, listeners[i].AdvertisedPort = e.host, int32(e.port)
			}
		}
	}
	return nil
}

// advertisable checks that clients can connect to an address at all.
func advertisable(e endpoint) error {
	if a, err := netip.ParseAddr(e.host); e.host == "" || (err == nil && a.IsUnspecified()) {
		return fmt.Errorf("clients can't connect to the host %q; name an address that they reach", e.host)
	}
	if e.port == 0 {
		return fmt.Errorf("clients can't connect to port 0")
	}
	return nil
}

// upper gives a LIST property in upper case.
func (b *builder) upper(name string) []string {
	s, _ := b.get(name)
	list := SplitList(s.Value)
	for i := range list {
		list[i] = strings.ToUpper(list[i])
	}
	return list
}

// endpointsOf writes listeners as Kafka's property listeners.
func endpointsOf(listeners []Listener) string {
	var list []string
	for _, l := range listeners {
		for _, a := range l.Addresses {
			list = append(list, l.Name+"://"+a)
		}
	}
	return strings.Join(list, ",")
}

func advertisedOf(listeners []Listener) string {
	var list []string
	for _, l := range listeners {
		if l.AdvertisedHost != "" {
			list = append(list, l.Name+"://"+l.Advertised())
		}
	}
	return strings.Join(list, ",")
}
