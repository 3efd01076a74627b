package kbrokertest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/kbrokertest"
	"github.com/kbroker/kbroker/storage/batch"
)

const (
	// checkMillis is how often the brokers of these tests look what may be deleted or forgotten, or write their checkpoints.
	checkMillis = "2"
	// patience bounds every wait for something that happens by itself.
	patience = 20 * time.Second
	// canary is a topic in which every record is too old at once: when one has gone, all topics were looked at.
	canary = "canary"
)

// settingsBroker is a broker whose settings are tried out, with its data on disk.
type settingsBroker struct {
	b      *kbrokertest.Broker
	cl     *kgo.Client
	dir    string
	topics int
	clock  time.Time // see tick
}

func newSettingsBroker(t *testing.T, opts ...kbrokertest.Option) *settingsBroker {
	t.Helper()
	k := &settingsBroker{dir: t.TempDir(), clock: time.Now().AddDate(-2, 0, 0)}
	opts = append([]kbrokertest.Option{kbrokertest.Dir(k.dir), kbrokertest.Set("log.retention.check.interval.ms", checkMillis)}, opts...)
	k.b = kbrokertest.Start(t, opts...)
	k.connect(t)
	return k
}

// connect makes a client that names topics, which produce and fetch later don't, and asks for the offsets of one group at a time.
func (k *settingsBroker) connect(t *testing.T) {
	t.Helper()
	versions := kversion.V3_0_0()
	versions.SetMaxKeyVersion(9, 7)
	k.cl = client(t, k.b, kgo.MaxVersions(versions))
}

func ask[R kmsg.Response](t *testing.T, cl *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Broker(1).Request(t.Context(), req)
	if err != nil {
		t.Fatalf("%T: %v", req, err)
	}
	return resp.(R)
}

// topic makes a topic of one partition with settings, and gives its name.
func (k *settingsBroker) topic(t *testing.T, settings map[string]string) string {
	t.Helper()
	k.topics++
	return k.named(t, fmt.Sprint("t", k.topics), settings)
}

func (k *settingsBroker) named(t *testing.T, name string, settings map[string]string) string {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	for key, value := range settings {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 5000
	if row := ask[*kmsg.CreateTopicsResponse](t, k.cl, req).Topics[0]; row.ErrorCode != 0 {
		t.Fatalf("creating %s %v: %v", name, settings, kerr.ErrorForCode(row.ErrorCode))
	}
	return name
}

// send has a batch appended with acks=all and gives what is answered.
func (k *settingsBroker) send(t *testing.T, topic string, b []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	row := kmsg.NewProduceRequestTopicPartition()
	row.Records = b
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{row}}}
	return ask[*kmsg.ProduceResponse](t, k.cl, req).Topics[0].Partitions[0]
}

// mustSend is send of what has to be accepted.
func (k *settingsBroker) mustSend(t *testing.T, topic string, b []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	resp := k.send(t, topic, b)
	if resp.ErrorCode != 0 {
		t.Fatalf("produce to %s: %v", topic, kerr.ErrorForCode(resp.ErrorCode))
	}
	return resp
}

// record is a batch of one record with a key.
func record(at time.Time, size int) []byte {
	return batch.NewBuilder().Append(at.UnixMilli(), []byte("k"), make([]byte, size)).Build()
}

// old is so long ago that every retention that these tests set is over, and the default's isn't.
func old() time.Time { return time.Now().Add(-48 * time.Hour) }

// tick gives times for batches, each later than the last by d.
func (k *settingsBroker) tick(d time.Duration) time.Time {
	k.clock = k.clock.Add(d)
	return k.clock
}

// lastBatch fetches a topic's last batch, as long as its offset is that of its only record.
func (k *settingsBroker) lastBatch(t *testing.T, topic string) (batch.Header, []byte) {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.MinBytes = 1<<30, 1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = k.offset(t, topic, -1)-1, 1<<30
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	row := ask[*kmsg.FetchResponse](t, k.cl, req).Topics[0].Partitions[0]
	h, err := batch.ParseHeader(row.RecordBatches)
	if err != nil || row.ErrorCode != 0 {
		t.Fatalf("fetch of %s: %v, %v", topic, kerr.ErrorForCode(row.ErrorCode), err)
	}
	return h, row.RecordBatches
}

// offset is the start (-2) or end (-1) of a topic's log.
func (k *settingsBroker) offset(t *testing.T, topic string, which int64) int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = which
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	row := ask[*kmsg.ListOffsetsResponse](t, k.cl, req).Topics[0].Partitions[0]
	if row.ErrorCode != 0 {
		t.Fatalf("offsets of %s: %v", topic, kerr.ErrorForCode(row.ErrorCode))
	}
	return row.Offset
}

func (k *settingsBroker) empty(t *testing.T, topic string) bool {
	t.Helper()
	return k.offset(t, topic, -2) == k.offset(t, topic, -1)
}

// until waits, for so long as patience lasts, until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// pass returns when retention has looked at every log once, from its beginning, since pass was called: it goes through them in turn, and of three
// deletions in the canary the first may end a turn that was under way, so that the second began after it and is over at the third.
func (k *settingsBroker) pass(t *testing.T) {
	t.Helper()
	for range 3 {
		k.mustSend(t, canary, record(old(), 1))
		until(t, "an old record is deleted", func() bool { return k.empty(t, canary) })
	}
}

// addCanary makes the topic that pass needs; what it needs it sets itself, so that no default for all topics matters.
func (k *settingsBroker) addCanary(t *testing.T) {
	t.Helper()
	k.named(t, canary, map[string]string{
		"retention.ms": "1", "cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "9223372036854775807",
		"max.message.bytes": "1000000", "flush.messages": "1",
	})
}

// files lists a topic's files that end so, in their order.
func (k *settingsBroker) files(t *testing.T, topic, suffix string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(k.dir, topic+"-0"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// segments is how many segments a topic's log was ever rolled to.
func (k *settingsBroker) segments(t *testing.T, topic string) int {
	t.Helper()
	return len(k.files(t, topic, ".log"))
}

var (
	clusterDefault = cluster.ConfigResource{Type: cluster.ResourceBroker}
	thisBroker     = cluster.ConfigResource{Type: cluster.ResourceBroker, Name: "1"}
)

func ofTopic(name string) cluster.ConfigResource {
	return cluster.ConfigResource{Type: cluster.ResourceTopic, Name: name}
}

// alter changes one setting, nil removes it, and gives the error code.
func (k *settingsBroker) alter(t *testing.T, r cluster.ConfigResource, key string, value *string) error {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	c := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Value: value}
	if value == nil {
		c.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceType(r.Type), ResourceName: r.Name, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{c},
	}}
	row := ask[*kmsg.IncrementalAlterConfigsResponse](t, k.cl, req).Resources[0]
	return kerr.ErrorForCode(row.ErrorCode)
}

func (k *settingsBroker) set(t *testing.T, r cluster.ConfigResource, key, value string) {
	t.Helper()
	if err := k.alter(t, r, key, &value); err != nil {
		t.Fatalf("%s=%s of %+v: %v", key, value, r, err)
	}
}

func (k *settingsBroker) unset(t *testing.T, r cluster.ConfigResource, key string) {
	t.Helper()
	if err := k.alter(t, r, key, nil); err != nil {
		t.Fatalf("%s of %+v is not removed: %v", key, r, err)
	}
}

// shown is a setting as DescribeConfigs has it; a value that is null reads "null".
func (k *settingsBroker) shown(t *testing.T, r cluster.ConfigResource, key string) (value string, source config.Source) {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceType(r.Type), ResourceName: r.Name, ConfigNames: []string{key}}}
	row := ask[*kmsg.DescribeConfigsResponse](t, k.cl, req).Resources[0]
	if row.ErrorCode != 0 || len(row.Configs) != 1 {
		t.Fatalf("%s of %+v: %v, %d rows", key, r, kerr.ErrorForCode(row.ErrorCode), len(row.Configs))
	}
	c := row.Configs[0]
	if c.Value == nil {
		return "null", config.Source(c.Source)
	}
	return *c.Value, config.Source(c.Source)
}
