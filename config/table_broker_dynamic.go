package config

// brokerDynamicKeys are the settings that tools set on a running broker only, by name.
var brokerDynamicKeys = []Key{
	{Scope: Broker, Name: "follower.replication.throttled.rate", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: PerBroker, DynamicOnly: true,
		Doc: "Most bytes a second that a broker fetches of throttled replicas."},
	{Scope: Broker, Name: "leader.replication.throttled.rate", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: PerBroker, DynamicOnly: true,
		Doc: "Most bytes a second that a broker sends of throttled replicas."},
	{Scope: Broker, Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: PerBroker, DynamicOnly: true,
		Doc: "Most bytes a second that a broker moves between its log directories."},
}
