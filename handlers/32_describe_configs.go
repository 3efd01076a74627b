package handlers

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxDescribedConfigs bounds the settings in one answer: a small request could ask for the same ones over and over.
const maxDescribedConfigs = 400_000

// DescribeConfigs (key 32) shows effective settings and where they come from, of topics, this broker, the cluster's defaults, groups,
// client metrics subscriptions and this broker's loggers. No keys are all keys; unknown ones are left out.
//
//	v1  sources and synonyms   v3  types and documentation
func (h *Handlers) describeConfigs(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	unknown := slices.ContainsFunc(req.Resources, func(res kmsg.DescribeConfigsRequestResource) bool { return !describable(int8(res.ResourceType)) })
	d := configDescription{h: h, img: h.Metadata.Image(), synonyms: r.Version >= 1 && req.IncludeSynonyms, documentation: r.Version >= 3 && req.IncludeDocumentation}
	described := 0
	for _, res := range req.Resources {
		row := kmsg.NewDescribeConfigsResponseResource()
		row.ResourceType, row.ResourceName, row.ErrorMessage = res.ResourceType, res.ResourceName, text("")
		var err error
		switch {
		case unknown:
			err = &cluster.Refusal{Kafka: kerr.InvalidRequest, Message: kerr.InvalidRequest.Description}
		case described > maxDescribedConfigs:
			err = &cluster.Refusal{Kafka: kerr.PolicyViolation, Message: "The answer would be too large; ask for fewer resources at a time."}
		default:
			row.Configs, err = d.resource(int8(res.ResourceType), res.ResourceName, res.ConfigNames)
			described += len(row.Configs)
		}
		if err != nil {
			code, message := h.failure(err)
			row.ErrorCode, row.Configs = code, nil
			if message != nil {
				row.ErrorMessage = message
			}
		}
		resp.Resources = append(resp.Resources, row)
	}
	r.Reply(resp)
}

func describable(resourceType int8) bool {
	switch resourceType {
	case cluster.ResourceTopic, cluster.ResourceBroker, cluster.ResourceBrokerLogger, cluster.ResourceClientMetrics, cluster.ResourceGroup:
		return true
	}
	return false
}

// configDescription describes resources from one image.
type configDescription struct {
	h                       *Handlers
	img                     *cluster.Image
	synonyms, documentation bool
}

type configRow = kmsg.DescribeConfigsResponseResourceConfig

func invalidRequest(message string) error {
	return &cluster.Refusal{Kafka: kerr.InvalidRequest, Message: message}
}

func (d *configDescription) resource(kind int8, name string, wanted []string) ([]configRow, error) {
	want := newWanted(wanted)
	switch kind {
	case cluster.ResourceTopic:
		return d.topic(name, want)
	case cluster.ResourceBroker:
		return d.broker(name, want)
	case cluster.ResourceGroup:
		return d.group(name, want)
	case cluster.ResourceClientMetrics:
		return d.clientMetrics(name, want)
	default:
		return d.loggers(name, want)
	}
}

// wanted are the keys that were asked for; nil asks for all.
type wanted map[string]bool

func newWanted(names []string) wanted {
	if len(names) == 0 {
		return nil
	}
	w := make(wanted, len(names))
	for _, name := range names {
		w[name] = true
	}
	return w
}

func (w wanted) has(name string) bool { return w == nil || w[name] }

func (d *configDescription) topic(name string, want wanted) ([]configRow, error) {
	if r := cluster.CheckTopicName(name); r != nil {
		return nil, r
	}
	if d.img.Topic(name) == nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	layers := d.h.layers(d.img, name)
	return d.rows(layers, config.Topic, layers.Topic, want), nil
}

func (d *configDescription) group(name string, want wanted) ([]configRow, error) {
	if name == "" {
		return nil, invalidRequest("Group name must not be empty")
	}
	layers := d.h.layers(d.img, "")
	layers.Group = d.img.Configs(cluster.ConfigResource{Type: cluster.ResourceGroup, Name: name})
	return d.rows(layers, config.Group, layers.Group, want), nil
}

func (d *configDescription) clientMetrics(name string, want wanted) ([]configRow, error) {
	if name == "" {
		return nil, invalidRequest("Client metrics subscription name must not be empty")
	}
	layers := d.h.layers(d.img, "")
	layers.Metrics = d.img.Configs(cluster.ConfigResource{Type: cluster.ResourceClientMetrics, Name: name})
	return d.rows(layers, config.ClientMetrics, layers.Metrics, want), nil
}

// rows describes the settings of a scope by name: those that are always shown, and hidden ones that are set.
func (d *configDescription) rows(layers config.Layers, scope config.Scope, set map[string]string, want wanted) []configRow {
	keys := config.Keys(scope)
	shown := len(keys)
	for name := range set {
		if k, known := config.Lookup(scope, name); known && k.Hidden {
			keys = append(keys, k)
		}
	}
	if len(keys) > shown {
		slices.SortFunc(keys, func(a, b *config.Key) int { return strings.Compare(a.Name, b.Name) })
	}
	var rows []configRow
	for _, k := range keys {
		if want.has(k.Name) {
			rows = append(rows, d.row(k, layers.Resolve(k)))
		}
	}
	return rows
}

// broker describes this broker, or the cluster's defaults where the name is empty.
func (d *configDescription) broker(name string, want wanted) ([]configRow, error) {
	layers := d.h.layers(d.img, "")
	if name == "" {
		var rows []configRow
		for _, name := range layers.ClusterNames() {
			k := brokerKey(name)
			if entry, set := layers.ResolveCluster(k); set && want.has(name) {
				rows = append(rows, d.brokerRow(k, entry))
			}
		}
		return rows, nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return nil, invalidRequest("Broker id must be an integer, but it is: " + name)
	}
	if int32(id) != d.h.NodeID {
		return nil, invalidRequest("Unexpected broker id, expected " + nodeName(d.h.NodeID) + " or empty string, but received " + name)
	}
	var names []string
	for _, k := range config.Keys(config.Broker) {
		names = append(names, k.Name)
	}
	names = slices.AppendSeq(names, maps.Keys(layers.Broker))
	names = slices.AppendSeq(names, maps.Keys(layers.Cluster))
	for _, s := range d.h.Static.Settings() { // hidden ones too
		names = append(names, s.Name)
	}
	slices.Sort(names)
	var rows []configRow
	for _, name := range slices.Compact(names) {
		if want.has(name) {
			k := brokerKey(name)
			rows = append(rows, d.brokerRow(k, layers.Resolve(k)))
		}
	}
	return rows, nil
}

// brokerKey finds a broker's setting. One that nobody knows may be a secret: its value isn't shown.
func brokerKey(name string) *config.Key {
	if k, known := config.Lookup(config.Broker, name); known {
		return k
	}
	return config.UnknownBrokerKey(name)
}

func (d *configDescription) brokerRow(k *config.Key, entry config.Entry) configRow {
	row := d.row(k, entry)
	row.ReadOnly = k.UpdateMode == config.ReadOnly
	return row
}

func (d *configDescription) row(k *config.Key, entry config.Entry) configRow {
	row := kmsg.NewDescribeConfigsResponseResourceConfig()
	row.Name, row.Value, row.Source, row.IsSensitive, row.ConfigType = k.Name, entry.Value, kmsg.ConfigSource(entry.Source), k.Sensitive, kmsg.ConfigType(k.Type)
	if k.Sensitive {
		row.Value = nil
	}
	if d.synonyms {
		for _, s := range entry.Synonyms {
			synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			row.ConfigSynonyms = append(row.ConfigSynonyms, synonym)
		}
	}
	if d.documentation {
		row.Documentation = &k.Doc
	}
	return row
}

// rootLogger is the only logger that there is.
const rootLogger = "root"

func (d *configDescription) loggers(name string, want wanted) ([]configRow, error) {
	if name == "" {
		return nil, invalidRequest("Broker id must not be empty")
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return nil, invalidRequest("Broker id must be an integer, but it is: " + name)
	}
	if int32(id) != d.h.NodeID {
		return nil, invalidRequest("Unexpected broker id, expected " + nodeName(d.h.NodeID) + " but received " + name)
	}
	if !want.has(rootLogger) {
		return nil, nil
	}
	row := kmsg.NewDescribeConfigsResponseResourceConfig()
	row.Name, row.Value, row.Source, row.Documentation = rootLogger, text(logLevel(d.h.Log)), kmsg.ConfigSource(config.SourceDynamicBrokerLogger), text("")
	return []configRow{row}, nil
}

// logLevel gives the lowest level that is logged, by log4j's names.
func logLevel(l *slog.Logger) string {
	for _, level := range []struct {
		level slog.Level
		name  string
	}{{slog.LevelDebug - 1, "TRACE"}, {slog.LevelDebug, "DEBUG"}, {slog.LevelInfo, "INFO"}, {slog.LevelWarn, "WARN"}, {slog.LevelError, "ERROR"}} {
		if l.Enabled(context.Background(), level.level) {
			return level.name
		}
	}
	return "FATAL"
}

// onlyCompacted says whether a cleanup.policy keeps all keys for ever: DeleteRecords would break that.
func onlyCompacted(policy string) bool {
	policies := config.SplitList(policy)
	return slices.Contains(policies, "compact") && !slices.Contains(policies, "delete")
}
