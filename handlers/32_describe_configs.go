package handlers

import (
	"context"
	"log/slog"
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
			err = &cluster.Refusal{Kafka: kerr.InvalidRequest, Message: "The request names a type of resource that doesn't exist."}
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
	var rows []configRow
	for _, k := range config.Keys(config.Topic) {
		if want.has(k.Name) {
			rows = append(rows, d.row(k, layers.Resolve(k)))
		}
	}
	return rows, nil
}

func (d *configDescription) group(name string, want wanted) ([]configRow, error) {
	if name == "" {
		return nil, invalidRequest("Group name must not be empty")
	}
	layers := d.h.layers(d.img, "")
	layers.Group = d.img.Configs(cluster.ConfigResource{Type: cluster.ResourceGroup, Name: name})
	var rows []configRow
	for _, k := range config.Keys(config.Group) {
		if !want.has(k.Name) {
			continue
		}
		entry := layers.Resolve(k)
		if len(k.Synonyms) == 0 && k.HasDefault { // no broker setting is behind it: its default is its own
			value := k.Default
			entry.Synonyms = append(slices.Clip(entry.Synonyms), config.Synonym{Name: k.Name, Value: &value, Source: config.SourceDefault})
		}
		rows = append(rows, d.row(k, entry))
	}
	return rows, nil
}

// broker describes this broker, or the cluster's defaults where the name is empty.
func (d *configDescription) broker(name string, want wanted) ([]configRow, error) {
	layers := d.h.layers(d.img, "")
	if name == "" {
		layers.Broker = nil
		var rows []configRow
		for _, name := range layers.ClusterNames() {
			if want.has(name) {
				rows = append(rows, d.brokerRow(layers, name, func(s config.Synonym) bool { return s.Source == config.SourceDynamicDefaultBroker }))
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
		_, onBroker := layers.Broker[k.Name]
		_, onCluster := layers.Cluster[k.Name]
		if !k.DynamicOnly || onBroker || onCluster {
			names = append(names, k.Name)
		}
	}
	for _, set := range []map[string]string{layers.Broker, layers.Cluster} {
		for name := range set {
			if _, known := config.Lookup(config.Broker, name); !known {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	var rows []configRow
	for _, name := range slices.Compact(names) {
		if want.has(name) {
			rows = append(rows, d.brokerRow(layers, name, func(config.Synonym) bool { return true }))
		}
	}
	return rows, nil
}

// brokerRow describes a broker's setting by the synonyms that count. A setting that nobody knows may be a secret: its value isn't shown.
func (d *configDescription) brokerRow(layers config.Layers, name string, counts func(config.Synonym) bool) configRow {
	k, known := config.Lookup(config.Broker, name)
	if !known {
		k = &config.Key{Scope: config.Broker, Name: name, Sensitive: true}
	}
	entry := layers.Resolve(k)
	entry.Synonyms = slices.DeleteFunc(slices.Clone(entry.Synonyms), func(s config.Synonym) bool { return !counts(s) })
	entry.Source = config.SourceDefault
	if len(entry.Synonyms) > 0 {
		entry.Source = entry.Synonyms[0].Source
	}
	row := d.row(k, entry)
	row.ReadOnly = !known || k.UpdateMode == config.ReadOnly
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

func (d *configDescription) clientMetrics(name string, want wanted) ([]configRow, error) {
	if name == "" {
		return nil, invalidRequest("Client metrics subscription name must not be empty")
	}
	set := d.img.Configs(cluster.ConfigResource{Type: cluster.ResourceClientMetrics, Name: name})
	var rows []configRow
	for _, k := range config.Keys(config.ClientMetrics) {
		if !want.has(k.Name) {
			continue
		}
		entry := config.Entry{Source: config.SourceDefault, Value: &k.Default}
		if value, ok := set[k.Name]; ok {
			if value = strings.TrimSpace(value); k.Type == config.TypeList {
				value = strings.Join(config.SplitList(value), ",")
			}
			entry.Source, entry.Value = config.SourceClientMetrics, &value
		}
		rows = append(rows, d.row(k, entry))
	}
	return rows, nil
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
