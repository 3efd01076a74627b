package config

// brokerHiddenKeys are the settings that tools set on a running broker only, and those that Kafka calls internal, by name.
var brokerHiddenKeys = []Key{
	{Scope: Broker, Name: "follower.replication.throttled.rate", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: ClusterWide, Hidden: true, DynamicOnly: true,
		Doc: "Most bytes a second that a broker fetches of throttled replicas."},
	{Scope: Broker, Name: "group.consumer.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, UpdateMode: ClusterWide, Hidden: true,
		Doc: "Whether consumer groups' assignments are computed beside the coordinator's loop."},
	{Scope: Broker, Name: "group.share.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, UpdateMode: ClusterWide, Hidden: true,
		Doc: "Whether share groups' assignments are computed beside the coordinator's loop."},
	{Scope: Broker, Name: "group.streams.acceptable.recovery.lag", Type: TypeLong, Default: "10000", HasDefault: true, Valid: "[0,...]", Hidden: true,
		Doc: "How far behind a task's copy may be to take the task over."},
	{Scope: Broker, Name: "group.streams.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, UpdateMode: ClusterWide, Hidden: true,
		Doc: "Whether streams groups' assignments are computed beside the coordinator's loop."},
	{Scope: Broker, Name: "group.streams.num.warmup.replicas", Type: TypeInt, Default: "2", HasDefault: true, Valid: "[0,...]", Hidden: true,
		Doc: "How many tasks of a streams group may warm up elsewhere at the same time."},
	{Scope: Broker, Name: "group.streams.task.offset.interval.ms", Type: TypeInt, Default: "60000", HasDefault: true, Valid: "[15000,...]", Hidden: true,
		Doc: "How often members of streams groups tell how far their tasks are."},
	{Scope: Broker, Name: "leader.replication.throttled.rate", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: ClusterWide, Hidden: true, DynamicOnly: true,
		Doc: "Most bytes a second that a broker sends of throttled replicas."},
	{Scope: Broker, Name: "producer.id.expiration.check.interval.ms", Type: TypeInt, Default: "600000", HasDefault: true, Valid: "[1,...]", Hidden: true, Effect: true,
		Doc: "How often it is looked for producers whose state may go."},
	{Scope: Broker, Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: TypeLong, Default: "9223372036854775807", HasDefault: true, Valid: "[0,...]", UpdateMode: ClusterWide, Hidden: true, DynamicOnly: true,
		Doc: "Most bytes a second that a broker moves between its log directories."},
	{Scope: Broker, Name: "unstable.api.versions.enable", Type: TypeBoolean, Default: "false", HasDefault: true, Hidden: true,
		Doc: "Whether unfinished versions of Kafka's APIs are served."},
	{Scope: Broker, Name: "unstable.feature.versions.enable", Type: TypeBoolean, Default: "false", HasDefault: true, Hidden: true,
		Doc: "Whether unfinished feature levels can be set."},
}
