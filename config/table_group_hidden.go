package config

// groupHiddenKeys are a group's settings that Kafka calls internal, by name.
var groupHiddenKeys = []Key{
	{Scope: Group, Name: "consumer.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, Synonyms: []string{"group.consumer.assignor.offload.enable"}, Hidden: true,
		Doc: "Whether assignments are computed beside the coordinator's loop."},
	{Scope: Group, Name: "share.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, Synonyms: []string{"group.share.assignor.offload.enable"}, Hidden: true,
		Doc: "Whether assignments are computed beside the coordinator's loop."},
	{Scope: Group, Name: "streams.acceptable.recovery.lag", Type: TypeLong, Default: "10000", HasDefault: true, Valid: "[0,...]", Synonyms: []string{"group.streams.acceptable.recovery.lag"}, Hidden: true,
		Doc: "How far behind a task's copy may be to take the task over."},
	{Scope: Group, Name: "streams.assignor.offload.enable", Type: TypeBoolean, Default: "true", HasDefault: true, Synonyms: []string{"group.streams.assignor.offload.enable"}, Hidden: true,
		Doc: "Whether assignments are computed beside the coordinator's loop."},
	{Scope: Group, Name: "streams.num.warmup.replicas", Type: TypeInt, Default: "2", HasDefault: true, Valid: "[0,...]", Synonyms: []string{"group.streams.num.warmup.replicas"}, Hidden: true,
		Doc: "How many tasks may warm up elsewhere at the same time."},
	{Scope: Group, Name: "streams.task.offset.interval.ms", Type: TypeInt, Default: "60000", HasDefault: true, Synonyms: []string{"group.streams.task.offset.interval.ms"}, Hidden: true,
		Doc: "How often members tell how far their tasks are."},
}
