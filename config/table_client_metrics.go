package config

// clientMetricsKeys are the settings of a client metrics subscription (KIP-714), by name.
var clientMetricsKeys = []Key{
	{Scope: ClientMetrics, Name: "interval.ms", Type: TypeInt, Default: "300000", HasDefault: true, Valid: "[100,...,3600000]", UpdateMode: ClusterWide,
		Doc: "How often a client pushes its metrics."},
	{Scope: ClientMetrics, Name: "match", Type: TypeList, HasDefault: true, UpdateMode: ClusterWide,
		Doc: "Which clients the subscription is for, as SELECTOR=REGULAR-EXPRESSION; empty is all."},
	{Scope: ClientMetrics, Name: "metrics", Type: TypeList, HasDefault: true, UpdateMode: ClusterWide,
		Doc: "Prefixes of the names of the metrics that are asked for; * is all, empty none."},
}
