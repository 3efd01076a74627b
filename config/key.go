// Package config holds the one table of every setting and the program's configuration.
//
// The table (table_*.go) lists every public setting of Kafka 4.4 by scope: type, default, allowed values, who may change it at run time,
// and the broker settings that a topic's or a group's setting falls back to. DescribeConfigs, the validation of alterations, the program's
// own checks and the reference page are all read from it; nothing else in kbroker knows a setting's default. A key with Effect set changes
// what kbroker does; the others are accepted, stored and shown, so that tools which copy settings from one cluster to another work.
//
// Static is what the program was started with, and Layers puts the dynamic settings of a cluster over it as Kafka does (KIP-226). Load reads
// flags, environment and file into a Config, which is everything the broker needs to start.
//
// All tables are immutable. Static and Config don't change once they are made, so any goroutine may use them. The package imports nothing of ours.
package config

import (
	"cmp"
	"slices"
)

// Scope is what a setting belongs to.
type Scope int

const (
	Topic Scope = iota
	Broker
	Group
	ClientMetrics
)

// String gives the scope's name in lower case.
func (s Scope) String() string {
	switch s {
	case Topic:
		return "topic"
	case Broker:
		return "broker"
	case Group:
		return "group"
	case ClientMetrics:
		return "client-metrics"
	}
	return "unknown"
}

// Type is a setting's type, with the numbers that DescribeConfigs v3 answers.
type Type int8

const (
	TypeBoolean  Type = 1
	TypeString   Type = 2
	TypeInt      Type = 3
	TypeShort    Type = 4
	TypeLong     Type = 5
	TypeDouble   Type = 6
	TypeList     Type = 7
	TypeClass    Type = 8
	TypePassword Type = 9
)

// String gives the type's name as Kafka's error texts have it.
func (t Type) String() string {
	switch t {
	case TypeBoolean:
		return "BOOLEAN"
	case TypeString:
		return "STRING"
	case TypeInt:
		return "INT"
	case TypeShort:
		return "SHORT"
	case TypeLong:
		return "LONG"
	case TypeDouble:
		return "DOUBLE"
	case TypeList:
		return "LIST"
	case TypeClass:
		return "CLASS"
	case TypePassword:
		return "PASSWORD"
	}
	return "UNKNOWN"
}

// UpdateMode says where a broker's setting can be changed at run time. Settings of other scopes always can.
type UpdateMode int8

const (
	ReadOnly    UpdateMode = iota // only with a restart
	PerBroker                     // for one broker, not as the cluster's default
	ClusterWide                   // for one broker or as the cluster's default
)

// String gives the mode's name as in Kafka's documentation.
func (m UpdateMode) String() string {
	switch m {
	case ReadOnly:
		return "read-only"
	case PerBroker:
		return "per-broker"
	case ClusterWide:
		return "cluster-wide"
	}
	return "unknown"
}

// Key is one setting. Keys are shared and never changed.
type Key struct {
	Scope Scope
	Name  string
	Type  Type
	// Default is the value where nothing is set, if HasDefault; without HasDefault it is null.
	Default    string
	HasDefault bool
	// Valid says which values are allowed, as Kafka shows it; empty allows all of the type. Check is read from it.
	Valid string
	// UpdateMode is meant for broker keys.
	UpdateMode UpdateMode
	// Synonyms are the broker settings that give the default of a topic's or group's setting, the one that counts most first.
	Synonyms []string
	// Doc is one line that says what the setting is for.
	Doc string
	// Sensitive values never leave the broker.
	Sensitive bool
	// Effect says that kbroker does what the setting says; otherwise it is only stored and shown.
	Effect bool
	// Hidden keys aren't shown until they are set: what Kafka calls internal, and throttles.
	Hidden bool
	// DynamicOnly keys can be set at run time, but not in the program's configuration.
	DynamicOnly bool
}

// Lookup finds a setting by its name.
func Lookup(scope Scope, name string) (*Key, bool) {
	keys := table(scope)
	i, ok := slices.BinarySearchFunc(keys, name, func(k Key, name string) int { return cmp.Compare(k.Name, name) })
	if !ok {
		return nil, false
	}
	return &keys[i], true
}

// Keys lists the settings of a scope that aren't hidden, sorted by name: those that are shown whether they are set or not.
func Keys(scope Scope) []*Key {
	keys := table(scope)
	list := make([]*Key, 0, len(keys))
	for i := range keys {
		if !keys[i].Hidden {
			list = append(list, &keys[i])
		}
	}
	return list
}

// UnknownBrokerKey is how Kafka shows a broker's dynamic setting that it doesn't know: without its value and type.
func UnknownBrokerKey(name string) *Key {
	return &Key{Scope: Broker, Name: name, Sensitive: true, Hidden: true, DynamicOnly: true}
}

// table gives a scope's settings, sorted by name, which must not be changed.
func table(scope Scope) []Key {
	switch scope {
	case Topic:
		return topicKeys
	case Broker:
		return brokerKeys
	case Group:
		return groupKeys
	case ClientMetrics:
		return clientMetricsKeys
	}
	return nil
}

// brokerKeys and groupKeys join the files of the table. They are never changed.
var groupKeys = slices.SortedFunc(slices.Values(slices.Concat(groupShownKeys, groupHiddenKeys)), byName)

var brokerKeys = slices.SortedFunc(slices.Values(slices.Concat(
	brokerLogKeys, brokerNetworkKeys, brokerGroupKeys, brokerClusterKeys, brokerSecurityKeys, brokerRemoteKeys, brokerHiddenKeys,
)), byName)

func byName(a, b Key) int { return cmp.Compare(a.Name, b.Name) }
