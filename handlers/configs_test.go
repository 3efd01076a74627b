package handlers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeRequest(kind int8, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	row := kmsg.NewDescribeConfigsRequestResource()
	row.ResourceType, row.ResourceName, row.ConfigNames = kmsg.ConfigResourceType(kind), name, keys
	req.Resources = append(req.Resources, row)
	req.IncludeSynonyms = true
	return req
}

// alterRequest changes a resource; settings are name, value, name, value...
func alterRequest(kind int8, name string, op cluster.ConfigOp, settings ...string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	row := kmsg.NewIncrementalAlterConfigsRequestResource()
	row.ResourceType, row.ResourceName = kmsg.ConfigResourceType(kind), name
	for i := 0; i+1 < len(settings); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value, c.Op = settings[i], &settings[i+1], kmsg.IncrementalAlterConfigOp(op)
		row.Configs = append(row.Configs, c)
	}
	req.Resources = append(req.Resources, row)
	return req
}

func (b *adminBroker) set(kind int8, name string, settings ...string) {
	b.t.Helper()
	row := ask[*kmsg.IncrementalAlterConfigsResponse](b, 1, alterRequest(kind, name, cluster.ConfigSet, settings...)).Resources[0]
	wantCode(b.t, "set "+strings.Join(settings, " "), row.ErrorCode, 0)
}

// shown gives a setting as value, source and chain of synonyms.
func shown(c configRow) string {
	value := "null"
	if c.Value != nil {
		value = *c.Value
	}
	s := fmt.Sprintf("%s from %d", value, c.Source)
	for _, synonym := range c.ConfigSynonyms {
		value := "null"
		if synonym.Value != nil {
			value = *synonym.Value
		}
		s += fmt.Sprintf("; %s=%s %d", synonym.Name, value, synonym.Source)
	}
	return s
}

func (b *adminBroker) describe(kind int8, name string, keys ...string) map[string]string {
	b.t.Helper()
	row := ask[*kmsg.DescribeConfigsResponse](b, 4, describeRequest(kind, name, keys...)).Resources[0]
	wantCode(b.t, "describe "+name, row.ErrorCode, 0)
	all := map[string]string{}
	for _, c := range row.Configs {
		all[c.Name] = shown(c)
	}
	return all
}

func TestDescribeConfigs_CFGAPI_01_keys_that_are_asked_for(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	for _, keys := range [][]string{nil, {}} {
		for v := int16(1); v <= 4; v++ {
			row := ask[*kmsg.DescribeConfigsResponse](b, v, describeRequest(cluster.ResourceTopic, "t", keys...)).Resources[0]
			if row.ErrorCode != 0 || len(row.Configs) != 37 || row.ErrorMessage == nil || *row.ErrorMessage != "" {
				t.Errorf("v%d: %d settings, error %d", v, len(row.Configs), row.ErrorCode)
			}
		}
	}
	if got := b.describe(cluster.ResourceTopic, "t", "retention.ms", "no.such.key"); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestDescribeConfigs_CFGAPI_02_03_14_layers_and_synonyms(t *testing.T) {
	b := startAdmin(t, "log.retention.hours", "2", "message.max.bytes", "1500000")
	b.create(1, "t")
	want := func(what, key, shown string) {
		t.Helper()
		if got := b.describe(cluster.ResourceTopic, "t", key)[key]; got != shown {
			t.Errorf("%s: %s is %s\nwant %s", what, key, got, shown)
		}
	}
	want("static", "max.message.bytes", "1500000 from 4; message.max.bytes=1500000 4; message.max.bytes=1048588 5")
	want("static hours", "retention.ms", "7200000 from 5")
	want("default", "segment.ms", "604800000 from 5")
	want("default", "cleanup.policy", "delete from 5; log.cleanup.policy=delete 5")
	want("no broker setting", "remote.storage.enable", "false from 5")
	want("cluster", "min.insync.replicas", "1 from 3; min.insync.replicas=1 3; min.insync.replicas=1 5")
	b.set(cluster.ResourceBroker, "", "message.max.bytes", "3000000", "log.retention.ms", "123456789")
	want("cluster", "max.message.bytes", "3000000 from 3; message.max.bytes=3000000 3; message.max.bytes=1500000 4; message.max.bytes=1048588 5")
	want("cluster", "retention.ms", "123456789 from 3; log.retention.ms=123456789 3; log.retention.hours=2 4; log.retention.hours=168 5")
	b.set(cluster.ResourceBroker, "1", "message.max.bytes", "2000000")
	want("broker", "max.message.bytes", "2000000 from 2; message.max.bytes=2000000 2; message.max.bytes=3000000 3; message.max.bytes=1500000 4; message.max.bytes=1048588 5")
	b.set(cluster.ResourceTopic, "t", "max.message.bytes", " 4000000 ")
	want("topic", "max.message.bytes", "4000000 from 1; max.message.bytes=4000000 1; message.max.bytes=2000000 2; message.max.bytes=3000000 3; message.max.bytes=1500000 4; message.max.bytes=1048588 5")

	plain := describeRequest(cluster.ResourceTopic, "t")
	plain.IncludeSynonyms = false
	for _, c := range ask[*kmsg.DescribeConfigsResponse](b, 4, plain).Resources[0].Configs {
		if len(c.ConfigSynonyms) > 0 || c.Documentation != nil {
			t.Errorf("%s has synonyms or documentation that nobody asked for", c.Name)
		}
	}
}

func TestDescribeConfigs_CFGAPI_04_05_resources_stand_by_themselves(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	req := describeRequest(cluster.ResourceTopic, "t", "retention.ms")
	wants := []struct {
		code int16
		text string
	}{{0, ""}}
	for _, c := range []struct {
		kind int8
		name string
		code int16
		text string
	}{
		{cluster.ResourceTopic, "missing", kerr.UnknownTopicOrPartition.Code, ""},
		{cluster.ResourceTopic, "a/b", kerr.InvalidTopicException.Code, "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{cluster.ResourceBroker, "4711", kerr.InvalidRequest.Code, "Unexpected broker id, expected 1 or empty string, but received 4711"},
		{cluster.ResourceBroker, "one", kerr.InvalidRequest.Code, "Broker id must be an integer, but it is: one"},
		{cluster.ResourceBrokerLogger, "4711", kerr.InvalidRequest.Code, "Unexpected broker id, expected 1 but received 4711"},
		{cluster.ResourceBrokerLogger, "", kerr.InvalidRequest.Code, "Broker id must not be empty"},
		{cluster.ResourceGroup, "", kerr.InvalidRequest.Code, "Group name must not be empty"},
		{cluster.ResourceClientMetrics, "", kerr.InvalidRequest.Code, "Client metrics subscription name must not be empty"},
		{cluster.ResourceClientMetrics, "nope", 0, ""},
	} {
		req.Resources = append(req.Resources, describeRequest(c.kind, c.name).Resources[0])
		wants = append(wants, struct {
			code int16
			text string
		}{c.code, c.text})
	}
	for i, row := range ask[*kmsg.DescribeConfigsResponse](b, 4, req).Resources {
		wantCode(t, row.ResourceName, row.ErrorCode, wants[i].code)
		wantText(t, row.ResourceName, row.ErrorMessage, wants[i].text)
		if (len(row.Configs) > 0) != (wants[i].code == 0) {
			t.Errorf("%s has %d settings", row.ResourceName, len(row.Configs))
		}
	}
	req.Resources = append(req.Resources, describeRequest(99, "x").Resources[0])
	for _, row := range ask[*kmsg.DescribeConfigsResponse](b, 4, req).Resources {
		wantCode(t, "beside an unknown type", row.ErrorCode, kerr.InvalidRequest.Code)
	}
}

func TestDescribeConfigs_CFGAPI_06_07_brokers(t *testing.T) {
	b := startAdmin(t, "ssl.keystore.password", "secret", "num.partitions", "3")
	req := describeRequest(cluster.ResourceBroker, "1")
	req.IncludeDocumentation = true
	rows := map[string]configRow{}
	for _, c := range ask[*kmsg.DescribeConfigsResponse](b, 4, req).Resources[0].Configs {
		rows[c.Name] = c
		if c.Documentation == nil || *c.Documentation == "" {
			t.Errorf("%s isn't documented", c.Name)
		}
		if c.ConfigType == 0 {
			t.Errorf("%s has no type", c.Name)
		}
		if c.IsSensitive && c.Value != nil {
			t.Errorf("%s leaves the broker", c.Name)
		}
		for _, s := range c.ConfigSynonyms {
			if c.IsSensitive && s.Value != nil {
				t.Errorf("%s leaves the broker as a synonym", c.Name)
			}
		}
	}
	if len(rows) < 300 { // configs.tsv has 350 with the hidden ones
		t.Errorf("%d settings", len(rows))
	}
	if secret := rows["ssl.keystore.password"]; !secret.IsSensitive || secret.Source != 4 {
		t.Errorf("%+v", secret)
	}
	for name, readOnly := range map[string]bool{"num.partitions": true, "auto.create.topics.enable": true, "message.max.bytes": false, "listeners": false} {
		if rows[name].ReadOnly != readOnly {
			t.Errorf("%s is read-only: %v", name, rows[name].ReadOnly)
		}
	}
	if got := shown(rows["num.partitions"]); got != "3 from 4; num.partitions=3 4; num.partitions=1 5" {
		t.Error(got)
	}
	if got := shown(rows["log.retention.ms"]); got != "null from 5" {
		t.Error(got)
	}
	if _, absent := rows["leader.replication.throttled.rate"]; absent {
		t.Error("throttles are shown before they are set")
	}
	b.set(cluster.ResourceBroker, "1", "leader.replication.throttled.rate", "1000", "no.such.key", "x")
	got := b.describe(cluster.ResourceBroker, "1", "leader.replication.throttled.rate", "no.such.key")
	if got["leader.replication.throttled.rate"] != "1000 from 2; leader.replication.throttled.rate=1000 2" || got["no.such.key"] != "null from 2; no.such.key=null 2" {
		t.Errorf("%v", got)
	}
}

func TestDescribeConfigs_CFGAPI_05_CFGT_05_cluster_defaults(t *testing.T) {
	b := startAdmin(t)
	if got := b.describe(cluster.ResourceBroker, ""); len(got) != 1 || got["min.insync.replicas"] != "1 from 3; min.insync.replicas=1 3" {
		t.Errorf("%v", got)
	}
	b.set(cluster.ResourceBroker, "", "message.max.bytes", "3000000")
	b.set(cluster.ResourceBroker, "1", "message.max.bytes", "2000000")
	if got := b.describe(cluster.ResourceBroker, ""); len(got) != 2 || got["message.max.bytes"] != "3000000 from 3; message.max.bytes=3000000 3" {
		t.Errorf("%v", got)
	}
}

func TestDescribeConfigs_CFGAPI_17_18_CFGG_01_groups_and_client_metrics(t *testing.T) {
	b := startAdmin(t)
	unset := b.describe(cluster.ResourceGroup, "g")
	if unset["consumer.session.timeout.ms"] != "45000 from 5; group.consumer.session.timeout.ms=45000 5" || unset["share.auto.offset.reset"] != "latest from 5; share.auto.offset.reset=latest 5" || len(unset) != 21 {
		t.Errorf("%d: %v", len(unset), unset)
	}
	b.set(cluster.ResourceGroup, "g", "consumer.session.timeout.ms", "50000", "share.auto.offset.reset", "earliest")
	set := b.describe(cluster.ResourceGroup, "g")
	if set["consumer.session.timeout.ms"] != "50000 from 8; consumer.session.timeout.ms=50000 8; group.consumer.session.timeout.ms=45000 5" ||
		set["share.auto.offset.reset"] != "earliest from 8; share.auto.offset.reset=earliest 8; share.auto.offset.reset=latest 5" {
		t.Errorf("%v", set)
	}
	b.set(cluster.ResourceClientMetrics, "m", "metrics", "org.apache.kafka.", "interval.ms", "60000")
	if got := b.describe(cluster.ResourceClientMetrics, "m"); got["interval.ms"] != "60000 from 7; interval.ms=60000 7" || got["match"] != " from 5" || got["metrics"] != "org.apache.kafka. from 7; metrics=org.apache.kafka. 7" {
		t.Errorf("%v", got)
	}
}

func TestAlterConfigs_CFGAPI_08_10_11_13_both_forms(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	b.set(cluster.ResourceTopic, "t", "retention.ms", "1000")
	topicSettings := func() map[string]string {
		return b.node.Image().Configs(cluster.ConfigResource{Type: cluster.ResourceTopic, Name: "t"})
	}
	for v := int16(0); v <= 1; v++ {
		req := alterRequest(cluster.ResourceTopic, "t", cluster.ConfigSet, "retention.ms", "55")
		req.ValidateOnly = true
		wantCode(t, "validated", ask[*kmsg.IncrementalAlterConfigsResponse](b, v, req).Resources[0].ErrorCode, 0)
		bad := ask[*kmsg.IncrementalAlterConfigsResponse](b, v, alterRequest(cluster.ResourceTopic, "t", cluster.ConfigSet, "segment.ms", "5", "retention.ms", "never")).Resources[0]
		wantCode(t, "bad", bad.ErrorCode, kerr.InvalidConfig.Code)
		wantText(t, "bad", bad.ErrorMessage, "Invalid value never for configuration retention.ms: Not a number of type LONG")
	}
	if got := topicSettings(); len(got) != 1 || got["retention.ms"] != "1000" {
		t.Errorf("%v", got)
	}
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrAlterConfigsRequest()
		row := kmsg.NewAlterConfigsRequestResource()
		row.ResourceType, row.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = "segment.ms", text(fmt.Sprint(888+v))
		row.Configs = append(row.Configs, c)
		missing := row
		missing.ResourceName = "missing"
		req.Resources = append(req.Resources, row, missing)
		rows := ask[*kmsg.AlterConfigsResponse](b, v, req).Resources
		wantCode(t, "replace", rows[0].ErrorCode, 0)
		wantCode(t, "missing", rows[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		if got := topicSettings(); len(got) != 1 || got["segment.ms"] != fmt.Sprint(888+v) {
			t.Errorf("v%d: %v", v, got)
		}
	}
}

func TestAlterConfigs_CFGAPI_11_rows_keep_the_order_of_the_request(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	req := alterRequest(cluster.ResourceBrokerLogger, "9", cluster.ConfigSet, "root", "INFO")
	for _, more := range []*kmsg.IncrementalAlterConfigsRequest{
		alterRequest(cluster.ResourceTopic, "missing", cluster.ConfigSet, "retention.ms", "5"),
		alterRequest(cluster.ResourceBrokerLogger, "1", cluster.ConfigAppend, "root", "INFO"),
		alterRequest(cluster.ResourceTopic, "t", cluster.ConfigSet, "retention.ms", "5"),
	} {
		req.Resources = append(req.Resources, more.Resources...)
	}
	var codes []int16
	for _, row := range ask[*kmsg.IncrementalAlterConfigsResponse](b, 1, req).Resources {
		codes = append(codes, row.ErrorCode)
	}
	if !slices.Equal(codes, []int16{kerr.InvalidRequest.Code, kerr.UnknownTopicOrPartition.Code, kerr.InvalidRequest.Code, 0}) {
		t.Errorf("%v", codes)
	}
}

func TestAlterConfigs_CFGAPI_19_loggers(t *testing.T) {
	b := startAdmin(t)
	for _, c := range []struct {
		node, logger, level string
		op                  cluster.ConfigOp
		code                int16
		text                string
	}{
		{"1", "nosuch", "INFO", cluster.ConfigSet, kerr.InvalidConfig.Code, "Logger nosuch does not exist!"},
		{"1", "root", "LOUD", cluster.ConfigSet, kerr.InvalidConfig.Code, "Cannot set the log level of root to LOUD as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"},
		{"1", "root", "INFO", cluster.ConfigDelete, kerr.InvalidRequest.Code, "Removing the log level of the root logger is not allowed"},
		{"1", "root", "INFO", cluster.ConfigAppend, kerr.InvalidRequest.Code, "APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{"9", "root", "INFO", cluster.ConfigSet, kerr.InvalidRequest.Code, "Unexpected node id. Expected 1, but received 9"},
		{"x", "root", "INFO", cluster.ConfigSet, kerr.InvalidRequest.Code, "Node id must be an integer, but it is: x"},
	} {
		row := ask[*kmsg.IncrementalAlterConfigsResponse](b, 1, alterRequest(cluster.ResourceBrokerLogger, c.node, c.op, c.logger, c.level)).Resources[0]
		wantCode(t, c.text, row.ErrorCode, c.code)
		wantText(t, c.node, row.ErrorMessage, c.text)
	}
	if got := b.describe(cluster.ResourceBrokerLogger, "1"); got["root"] != "FATAL from 6" { // the tests discard their log
		t.Errorf("%v", got)
	}
}

func TestListConfigResources_CFGAPI_20(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	b.set(cluster.ResourceGroup, "g", "consumer.session.timeout.ms", "50000")
	b.set(cluster.ResourceClientMetrics, "m", "interval.ms", "60000")
	for _, c := range []struct {
		version int16
		types   []int8
		want    string
	}{
		{0, nil, "[m 0]"},
		{1, nil, "[t 2 1 4 1 8 m 16 g 32]"},
		{1, []int8{32, 2, 2}, "[t 2 g 32]"},
		{1, []int8{16}, "[m 16]"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = c.types
		var got []any
		for _, row := range ask[*kmsg.ListConfigResourcesResponse](b, c.version, req).ConfigResources {
			if c.version == 0 {
				row.Type = 0 // not on the wire
			}
			got = append(got, row.Name, row.Type)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("v%d %v: %v, want %s", c.version, c.types, got, c.want)
		}
	}
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = []int8{2, 77}
	if resp := ask[*kmsg.ListConfigResourcesResponse](b, 1, req); resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ConfigResources) != 0 {
		t.Errorf("%+v", resp)
	}
}
