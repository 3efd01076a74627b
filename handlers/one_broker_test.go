package handlers

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codesOf collects every error code in a response, at any depth.
func codesOf(v reflect.Value, found map[int16]int) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			codesOf(v.Elem(), found)
		}
	case reflect.Slice:
		for i := range v.Len() {
			codesOf(v.Index(i), found)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name == "ErrorCode" {
				found[int16(v.Field(i).Int())]++
			} else if f.IsExported() {
				codesOf(v.Field(i), found)
			}
		}
	}
}

// Whatever asks for a change of the metadata is done by the broker that is asked, in every version, and none is told to ask another one.
func TestAdmin_META_36_no_broker_says_that_it_is_not_the_controller(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	for _, a := range APIs() {
		requests := []kmsg.Request{}
		switch a.Key {
		case kmsg.CreateTopics:
			requests = append(requests, createRequest(newTopicRow("made", 1)))
		case kmsg.DeleteTopics:
			req := kmsg.NewPtrDeleteTopicsRequest()
			name := "made"
			row := kmsg.NewDeleteTopicsRequestTopic()
			row.Topic, req.TopicNames, req.Topics = &name, []string{name}, append(req.Topics, row)
			requests = append(requests, req)
		case kmsg.CreatePartitions:
			row := kmsg.NewCreatePartitionsRequestTopic()
			row.Topic, row.Count = "t", 2
			req := kmsg.NewPtrCreatePartitionsRequest()
			req.Topics = append(req.Topics, row)
			requests = append(requests, req)
		case kmsg.AlterConfigs:
			row := kmsg.NewAlterConfigsRequestResource()
			row.ResourceType, row.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
			req := kmsg.NewPtrAlterConfigsRequest()
			req.Resources = append(req.Resources, row)
			requests = append(requests, req)
		case kmsg.IncrementalAlterConfigs:
			requests = append(requests, alterRequest(cluster.ResourceTopic, "t", cluster.ConfigSet, "retention.ms", "5"),
				alterRequest(cluster.ResourceBroker, "", cluster.ConfigSet, "log.retention.ms", "5"))
		case kmsg.ElectLeaders, kmsg.AlterPartitionAssignments, kmsg.ListPartitionReassignments, kmsg.UpdateFeatures, kmsg.AlterClientQuotas,
			kmsg.DescribeClientQuotas, kmsg.AlterUserSCRAMCredentials, kmsg.CreateACLs, kmsg.DeleteACLs,
			kmsg.DescribeQuorum, kmsg.DescribeCluster, kmsg.UnregisterBroker, kmsg.CreateDelegationToken, kmsg.Metadata:
			requests = append(requests, kmsg.RequestForKey(int16(a.Key)))
		}
		for v := a.Min; v <= a.Max; v++ {
			for _, req := range requests {
				codes := map[int16]int{}
				codesOf(reflect.ValueOf(ask[kmsg.Response](b, v, req)), codes)
				if codes[kerr.NotController.Code] > 0 {
					t.Errorf("%s v%d: %v", a.Key.Name(), v, codes)
				}
				if (a.Key == kmsg.CreateTopics && v == a.Min || a.Key == kmsg.IncrementalAlterConfigs) && (codes[0] == 0 || len(codes) != 1) {
					t.Errorf("%s v%d: %v", a.Key.Name(), v, codes)
				}
			}
		}
	}
	for name, change := range map[string]bool{"t": true, "made": false} { // what was asked for was done
		if is := b.node.Image().Topic(name) != nil; is != change {
			t.Errorf("%s is there: %v", name, is)
		}
	}
	if n := len(b.node.Image().Topic("t").Partitions); n != 2 {
		t.Errorf("%d partitions", n)
	}
}

// With one replica the low watermark has passed when DeleteRecords is answered, however little time the request gives.
func TestDeleteRecords_DREC_06_answers_once_every_replica_has_advanced(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	b.fill("t", 10)
	for v := int16(0); v <= 2; v++ {
		for _, millis := range []int32{-1, 0, 1, 30_000} {
			p, err := b.node.Partition("t", 0)
			if err != nil {
				t.Fatal(err)
			}
			start, _, _ := p.Offsets()
			want := min(start+1, 10)
			req := deleteRecordsRequest("t", 0, want)
			req.TimeoutMillis = millis
			row := ask[*kmsg.DeleteRecordsResponse](b, v, req).Topics[0].Partitions[0]
			wantCode(t, "delete", row.ErrorCode, 0)
			if now, _, _ := p.Offsets(); row.LowWatermark != want || now != want {
				t.Errorf("v%d, %d ms: answered %d, the log starts at %d, want %d", v, millis, row.LowWatermark, now, want)
			}
		}
	}
}

// Every topic setting of Kafka's is taken and shown again, those without an effect here too.
func TestAlterConfigs_CFGAPI_15_every_topic_setting_of_Kafkas_is_stored(t *testing.T) {
	b := startAdmin(t)
	candidates := []string{"true", "false", "LogAppendTime", "gzip", "compact", "0.25", "1:1", "123456", "2000000", "7", "3"}
	effects := map[bool]int{}
	for _, k := range config.Keys(config.Topic) {
		value := ""
		for _, c := range candidates {
			if c != k.Default && k.Check(c) == nil {
				value = c
				break
			}
		}
		if value == "" || k.Name == "remote.storage.enable" { // which Kafka refuses too where there is no remote storage
			value = k.Default
		}
		effects[k.Effect]++
		topic := "created." + k.Name
		row := ask[*kmsg.CreateTopicsResponse](b, 7, createRequest(newTopicRow(topic, 1, k.Name, value))).Topics[0]
		if row.ErrorCode != 0 {
			t.Errorf("%s=%s at creation: %v %v", k.Name, value, kerr.ErrorForCode(row.ErrorCode), row.ErrorMessage)
			continue
		}
		altered := "altered." + k.Name
		b.create(1, altered)
		b.set(cluster.ResourceTopic, altered, k.Name, value)
		for _, name := range []string{topic, altered} {
			if got := b.describe(cluster.ResourceTopic, name, k.Name)[k.Name]; !strings.HasPrefix(got, value+" from 1;") {
				t.Errorf("%s of %s: %q, want %s", k.Name, name, got, value)
			}
		}
	}
	if effects[false] == 0 || effects[true] == 0 {
		t.Errorf("settings by effect: %v", effects)
	}
}
