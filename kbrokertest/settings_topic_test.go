package kbrokertest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/kbrokertest"
	"github.com/kbroker/kbroker/storage/batch"
)

// topicSetting is a setting of topics, and how it is seen that it holds.
type topicSetting struct {
	id, key, value string
	// broker is the broker's setting that is its default; empty where there is none.
	broker string
	// static are further settings that mean the same, for the start only.
	static map[string]string
	// beside is what the topic sets besides, so that the effect can be seen.
	beside map[string]string
	// options are what the broker is started with besides.
	options []kbrokertest.Option
	// holds says whether the topic, which has data, is as the setting wants it.
	holds func(t *testing.T, k *settingsBroker, topic string) bool
	// later: the effect comes by itself, a little after what causes it.
	later bool
}

var forever = map[string]string{"retention.ms": "-1"}

// with adds a setting to others.
func with(settings map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range settings {
		all[k] = v
	}
	return all
}

// refuses says that a batch isn't accepted, for this reason.
func refuses(reason *kerr.Error, b func() []byte) func(*testing.T, *settingsBroker, string) bool {
	return func(t *testing.T, k *settingsBroker, topic string) bool {
		t.Helper()
		code := k.send(t, topic, b()).ErrorCode
		if code != 0 && code != reason.Code {
			t.Fatalf("refused with %v", kerr.ErrorForCode(code))
		}
		return code != 0
	}
}

// deletes says that a record that is two days old goes.
func deletes(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	k.mustSend(t, topic, record(old(), 100))
	k.pass(t)
	return k.empty(t, topic)
}

func keeps(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	return !deletes(t, k, topic)
}

var refusesNullKeys = refuses(kerr.InvalidRecord, func() []byte {
	return batch.NewBuilder().Append(old().UnixMilli(), nil, []byte("v")).Build()
})

// stores says that what is sent is kept in a codec.
func stores(sent, kept batch.Codec) func(*testing.T, *settingsBroker, string) bool {
	return func(t *testing.T, k *settingsBroker, topic string) bool {
		t.Helper()
		b := batch.NewBuilder().SetCodec(sent, batch.DefaultLevel).Append(time.Now().UnixMilli(), []byte("k"), make([]byte, 1000)).Build()
		k.mustSend(t, topic, b)
		h, _ := k.lastBatch(t, topic)
		return h.Codec() == kept
	}
}

// text compresses differently well at different levels.
var text = func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	words := make([]string, 300)
	for i := range words {
		words[i] = strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(3)) + fmt.Sprint(r.IntN(1000))
	}
	for b.Len() < 64<<10 {
		b.WriteString(words[min(r.IntN(300), r.IntN(300))])
		b.WriteByte(' ')
	}
	return b.Bytes()
}()

// compressesAt says that batches are recompressed at a level, and not at the default one.
func compressesAt(codec, key, level, other string) func(*testing.T, *settingsBroker, string) bool {
	size := func(t *testing.T, k *settingsBroker, topic string) int {
		t.Helper()
		k.mustSend(t, topic, batch.NewBuilder().Append(time.Now().UnixMilli(), []byte("k"), text).Build())
		_, b := k.lastBatch(t, topic)
		return len(b)
	}
	return func(t *testing.T, k *settingsBroker, topic string) bool {
		t.Helper()
		of := func(level string) int {
			return size(t, k, k.topic(t, map[string]string{"compression.type": codec, key: level}))
		}
		at, usual, got := of(level), of(other), size(t, k, topic)
		if at == usual || (got != at && got != usual) {
			t.Fatalf("%d bytes; %d at level %s and %d at %s", got, at, level, usual, other)
		}
		return got == at
	}
}

// rolls says that so many batches, each later than the one before it by a time, don't all get into one segment.
func rolls(size, batches int, apart time.Duration) func(*testing.T, *settingsBroker, string) bool {
	return func(t *testing.T, k *settingsBroker, topic string) bool {
		t.Helper()
		before := k.segments(t, topic)
		for range batches {
			k.mustSend(t, topic, record(k.tick(apart), size))
		}
		return k.segments(t, topic) > before
	}
}

// rollsEarly says that segments are rolled after 59 minutes, which have an hour. One in sixty isn't, by chance.
func rollsEarly(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	for range 20 {
		k.mustSend(t, topic, record(k.tick(3*time.Hour), 10))
		n := k.segments(t, topic)
		k.mustSend(t, topic, record(k.tick(59*time.Minute), 10))
		if k.segments(t, topic) > n {
			return true
		}
	}
	return false
}

// indexes says that each batch gets an index entry. A segment's index is seen once there is another one.
func indexes(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	k.mustSend(t, topic, record(k.tick(2*time.Hour), 10))
	for range 3 {
		k.mustSend(t, topic, record(k.tick(time.Second), 10))
	}
	k.mustSend(t, topic, record(k.tick(2*time.Hour), 10))
	logs := k.files(t, topic, ".log")
	closed := strings.TrimSuffix(logs[len(logs)-2], ".log") + ".index"
	info, err := os.Stat(filepath.Join(k.dir, topic+"-0", closed))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size() >= 2*8
}

// removes says that the files of a deleted segment don't stay.
func removes(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	before := k.files(t, topic, ".deleted")
	if !deletes(t, k, topic) {
		t.Fatal("the record isn't deleted")
	}
	k.pass(t)
	return slices.Equal(k.files(t, topic, ".deleted"), before)
}

// flushes says that the recovery point follows the log's end without a segment being closed. The canary's does, so that two of its ends in the
// checkpoint, one after the other, say that a whole checkpoint was written since.
func flushes(t *testing.T, k *settingsBroker, topic string) bool {
	t.Helper()
	recovered := func(topic string, end int64) bool {
		b, err := os.ReadFile(filepath.Join(k.dir, "recovery-point-offset-checkpoint"))
		return err == nil && strings.Contains(string(b), fmt.Sprintf("\n%s 0 %d\n", topic, end))
	}
	end := k.mustSend(t, topic, record(old(), 10)).BaseOffset + 1
	for range 2 {
		next := k.mustSend(t, canary, record(old(), 10)).BaseOffset + 1
		until(t, "a checkpoint is written", func() bool { return recovered(canary, next) })
	}
	return recovered(topic, end)
}

var fastCheckpoints = []kbrokertest.Option{kbrokertest.Set("log.flush.offset.checkpoint.interval.ms", checkMillis)}

// topicSettings are all of a topic's settings that change what the broker does.
var topicSettings = []topicSetting{
	{id: "CFGT_01", key: "cleanup.policy", value: "", broker: "log.cleanup.policy", beside: map[string]string{"retention.ms": "60000"}, holds: keeps},
	{id: "CFGT_01", key: "cleanup.policy", value: "compact", broker: "log.cleanup.policy", holds: refusesNullKeys},
	{
		id: "CFGT_01", key: "cleanup.policy", value: "compact,delete", broker: "log.cleanup.policy", beside: map[string]string{"retention.ms": "60000"},
		holds: func(t *testing.T, k *settingsBroker, topic string) bool {
			return refusesNullKeys(t, k, topic) && deletes(t, k, topic)
		},
	},
	{
		id: "CFGT_02", key: "retention.ms", value: "60000", broker: "log.retention.ms", holds: deletes,
		static: map[string]string{"log.retention.minutes": "1", "log.retention.hours": "1"},
	},
	{id: "CFGT_03", key: "retention.bytes", value: "0", broker: "log.retention.bytes", beside: forever, holds: deletes},
	{
		id: "CFGT_04", key: "max.message.bytes", value: "500", broker: "message.max.bytes",
		holds: refuses(kerr.MessageTooLarge, func() []byte { return record(time.Now(), 1000) }),
	},
	{id: "CFGT_06", key: "compression.type", value: "gzip", broker: "compression.type", holds: stores(batch.None, batch.Gzip)},
	{id: "CFGT_06", key: "compression.type", value: "snappy", broker: "compression.type", holds: stores(batch.None, batch.Snappy)},
	{id: "CFGT_06", key: "compression.type", value: "lz4", broker: "compression.type", holds: stores(batch.None, batch.LZ4)},
	{id: "CFGT_06", key: "compression.type", value: "zstd", broker: "compression.type", holds: stores(batch.None, batch.Zstd)},
	{id: "CFGT_06", key: "compression.type", value: "uncompressed", broker: "compression.type", holds: stores(batch.Gzip, batch.None)},
	{
		id: "CFGT_07", key: "compression.gzip.level", value: "1", broker: "compression.gzip.level", beside: map[string]string{"compression.type": "gzip"},
		holds: compressesAt("gzip", "compression.gzip.level", "1", "-1"),
	},
	{
		id: "CFGT_07", key: "compression.lz4.level", value: "1", broker: "compression.lz4.level", beside: map[string]string{"compression.type": "lz4"},
		holds: compressesAt("lz4", "compression.lz4.level", "1", "9"),
	},
	{
		id: "CFGT_07", key: "compression.zstd.level", value: "19", broker: "compression.zstd.level", beside: map[string]string{"compression.type": "zstd"},
		holds: compressesAt("zstd", "compression.zstd.level", "19", "3"),
	},
	{
		id: "CFGT_08", key: "message.timestamp.type", value: "LogAppendTime", broker: "log.message.timestamp.type",
		holds: func(t *testing.T, k *settingsBroker, topic string) bool {
			resp := k.mustSend(t, topic, record(old(), 10))
			h, _ := k.lastBatch(t, topic)
			if (resp.LogAppendTime >= 0) != (h.TimestampType() == batch.LogAppendTime) {
				t.Fatalf("answered %d, the batch has %v", resp.LogAppendTime, h.TimestampType())
			}
			return resp.LogAppendTime >= 0
		},
	},
	{
		id: "CFGT_09", key: "message.timestamp.before.max.ms", value: "60000", broker: "log.message.timestamp.before.max.ms",
		holds: refuses(kerr.InvalidTimestamp, func() []byte { return record(old(), 10) }),
	},
	{
		id: "CFGT_10", key: "message.timestamp.after.max.ms", value: "60000", broker: "log.message.timestamp.after.max.ms",
		holds: refuses(kerr.InvalidTimestamp, func() []byte { return record(time.Now().Add(30*time.Minute), 10) }),
	},
	{id: "CFGT_11", key: "segment.bytes", value: "1048576", broker: "log.segment.bytes", beside: forever, holds: rolls(600<<10, 2, time.Second)},
	{id: "CFGT_11", key: "internal.segment.bytes", value: "1000", beside: forever, holds: rolls(600, 2, time.Second)},
	{
		id: "CFGT_12", key: "segment.ms", value: "60000", broker: "log.roll.ms", beside: forever, holds: rolls(10, 2, 2*time.Hour),
		static: map[string]string{"log.roll.hours": "1"},
	},
	{
		id: "CFGT_13", key: "segment.jitter.ms", value: "3600000", broker: "log.roll.jitter.ms", beside: with(forever, "segment.ms", "3600000"), holds: rollsEarly,
		static: map[string]string{"log.roll.jitter.hours": "1"},
	},
	{id: "CFGT_19", key: "flush.messages", value: "1", broker: "log.flush.interval.messages", options: fastCheckpoints, holds: flushes, later: true},
	{
		id: "CFGT_19", key: "flush.ms", value: "1", broker: "log.flush.interval.ms", options: fastCheckpoints, holds: flushes, later: true,
		static: map[string]string{"log.flush.scheduler.interval.ms": "1"},
	},
	{
		id: "CFGT_20", key: "segment.index.bytes", value: "32", broker: "log.index.size.max.bytes", beside: with(forever, "index.interval.bytes", "0"),
		holds: rolls(10, 6, time.Second),
	},
	{
		id: "CFGT_20", key: "index.interval.bytes", value: "0", broker: "log.index.interval.bytes", beside: with(forever, "segment.ms", "3600000"),
		holds: indexes,
	},
	{
		id: "CFGT_20", key: "file.delete.delay.ms", value: "0", broker: "log.segment.delete.delay.ms", beside: map[string]string{"retention.ms": "60000"},
		holds: removes,
	},
	{
		id: "CFGT_23", key: "max.decompressed.message.bytes", value: "1000", broker: "max.decompressed.message.bytes",
		holds: refuses(kerr.InvalidRecord, func() []byte {
			return batch.NewBuilder().SetCodec(batch.Gzip, batch.DefaultLevel).Append(time.Now().UnixMilli(), []byte("k"), make([]byte, 2000)).Build()
		}),
	},
}

func (s topicSetting) name() string { return s.id + "_" + s.key + "=" + s.value }

func (s topicSetting) check(t *testing.T, k *settingsBroker, topic string, want bool, when string) {
	t.Helper()
	if s.later && want {
		until(t, s.key+" holds "+when, func() bool { return s.holds(t, k, topic) })
		return
	}
	if s.holds(t, k, topic) != want {
		t.Fatalf("%s: %s=%s holds: %t", when, s.key, s.value, !want)
	}
}

// withData is a topic that has data already.
func (s topicSetting) withData(t *testing.T, k *settingsBroker) string {
	t.Helper()
	at := old()
	for _, prefix := range []string{"segment", "index", "internal"} {
		if strings.HasPrefix(s.key, prefix) {
			at = k.tick(time.Second) // the time since then counts
		}
	}
	if strings.HasPrefix(s.key, "message.timestamp") {
		at = time.Now()
	}
	topic := k.topic(t, s.beside)
	k.mustSend(t, topic, record(at, 10))
	return topic
}

func (s topicSetting) checkShown(t *testing.T, k *settingsBroker, topic string, source config.Source) {
	t.Helper()
	want := s.value
	if source == config.SourceDefault {
		key, _ := config.Lookup(config.Topic, s.key)
		want = key.Default
	}
	if value, from := k.shown(t, ofTopic(topic), s.key); value != want || from != source {
		t.Fatalf("%s is shown as %q from source %d, want %q from %d", s.key, value, from, want, source)
	}
}

// TestTopicSettings_hold_at_once_on_living_partitions sets each on a topic that has data, and as the default of the cluster and of the broker, and
// removes it again: what it does it does with the next request, and it does it no more with the next one after that.
func TestTopicSettings_hold_at_once_on_living_partitions_LOG_15(t *testing.T) {
	usual, checkpointing := newSettingsBroker(t), newSettingsBroker(t, fastCheckpoints...)
	usual.addCanary(t)
	checkpointing.addCanary(t)
	for _, s := range topicSettings {
		k := usual
		if len(s.options) > 0 {
			k = checkpointing
		}
		t.Run(s.name(), func(t *testing.T) {
			topic := s.withData(t, k)
			s.check(t, k, topic, false, "before")
			key, _ := config.Lookup(config.Topic, s.key)
			if !key.Hidden {
				s.checkShown(t, k, topic, config.SourceDefault)
			}
			r := ofTopic(topic)
			k.set(t, r, s.key, s.value)
			s.check(t, k, topic, true, "set on the topic")
			s.checkShown(t, k, topic, config.SourceDynamicTopic)
			k.unset(t, r, s.key)
			s.check(t, k, topic, false, "removed from the topic")
			if s.broker == "" {
				return
			}
			k.set(t, clusterDefault, s.broker, s.value)
			s.check(t, k, topic, true, "set for the cluster")
			s.checkShown(t, k, topic, config.SourceDynamicDefaultBroker)
			k.unset(t, clusterDefault, s.broker)
			s.check(t, k, topic, false, "removed from the cluster")
			k.set(t, thisBroker, s.broker, s.value)
			s.check(t, k, topic, true, "set for the broker")
			s.checkShown(t, k, topic, config.SourceDynamicBroker)
			k.unset(t, thisBroker, s.broker)
			s.check(t, k, topic, false, "removed from the broker")
		})
	}
}

// TestTopicSettings_of_the_start_CFGB_05_06_07_08 starts a broker with each as its default; a topic that sets the usual value wins over it.
func TestTopicSettings_of_the_start_CFGB_05_06_07_08(t *testing.T) {
	for _, s := range topicSettings {
		if s.broker == "" {
			continue
		}
		for name, value := range with(s.static, s.broker, s.value) {
			t.Run(s.id+"_"+name+"="+value, func(t *testing.T) {
				t.Parallel()
				k := newSettingsBroker(t, append(slices.Clone(s.options), kbrokertest.Set(name, value))...)
				k.addCanary(t)
				topic := s.withData(t, k)
				s.check(t, k, topic, true, "set at the start")
				key, _ := config.Lookup(config.Topic, s.key)
				k.set(t, ofTopic(topic), s.key, key.Default)
				s.check(t, k, topic, false, "the topic sets the default")
			})
		}
	}
}

// TestTopicSettings_all_that_have_an_effect_are_tried keeps the table of settings and these tests together.
func TestTopicSettings_all_that_have_an_effect_are_tried(t *testing.T) {
	tried := map[string]bool{"min.insync.replicas": true} // TestCFGT_05
	for _, s := range topicSettings {
		tried[s.key] = true
		if key, ok := config.Lookup(config.Topic, s.key); !ok || !key.Effect {
			t.Errorf("%s has an effect, but the table denies it", s.key)
		}
	}
	elsewhere := []string{"delete.retention.ms", "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "max.compaction.lag.ms"} // compaction's own tests
	for _, key := range config.Keys(config.Topic) {
		if key.Effect && !tried[key.Name] && !slices.Contains(elsewhere, key.Name) {
			t.Errorf("the table says that %s has an effect, and no test shows it", key.Name)
		}
	}
}

// TestCFGT_05_min_insync_replicas: never more than there are replicas are asked for (PROD-24).
func TestCFGT_05_min_insync_replicas_counts_as_far_as_there_are_replicas(t *testing.T) {
	k := newSettingsBroker(t)
	topic := k.topic(t, nil)
	k.mustSend(t, topic, record(time.Now(), 10))
	if value, source := k.shown(t, ofTopic(topic), "min.insync.replicas"); value != "1" || source != config.SourceDynamicDefaultBroker {
		t.Errorf("%s from source %d", value, source)
	}
	k.set(t, clusterDefault, "min.insync.replicas", "3")
	k.mustSend(t, topic, record(time.Now(), 10))
	if value, source := k.shown(t, ofTopic(topic), "min.insync.replicas"); value != "3" || source != config.SourceDynamicDefaultBroker {
		t.Errorf("%s from source %d", value, source)
	}
	k.set(t, ofTopic(topic), "min.insync.replicas", "2")
	k.mustSend(t, topic, record(time.Now(), 10))
	if value, source := k.shown(t, ofTopic(topic), "min.insync.replicas"); value != "2" || source != config.SourceDynamicTopic {
		t.Errorf("%s from source %d", value, source)
	}
	k.unset(t, ofTopic(topic), "min.insync.replicas")
	if value, _ := k.shown(t, ofTopic(topic), "min.insync.replicas"); value != "3" {
		t.Errorf("%s", value)
	}
}

// TestTopicSettings_that_are_stored_and_shown: of those that matter only to compaction, to more brokers or to tiered storage, too.
func TestTopicSettings_that_are_stored_and_shown_CFGT_14_to_23(t *testing.T) {
	k := newSettingsBroker(t)
	topic := k.topic(t, nil)
	k.mustSend(t, topic, record(time.Now(), 10))
	for _, c := range []struct{ id, key, value string }{
		{"CFGT_14", "delete.retention.ms", "1000"},
		{"CFGT_15", "min.cleanable.dirty.ratio", "0.1"},
		{"CFGT_16", "min.compaction.lag.ms", "1000"},
		{"CFGT_17", "max.compaction.lag.ms", "2000"},
		{"CFGT_18", "unclean.leader.election.enable", "true"},
		{"CFGT_20", "preallocate", "true"},
		{"CFGT_21", "leader.replication.throttled.replicas", "*"},
		{"CFGT_21", "leader.replication.throttled.replicas", "0:1,1:2"},
		{"CFGT_21", "follower.replication.throttled.replicas", "0:1"},
		{"CFGT_22", "local.retention.ms", "1000"},
		{"CFGT_22", "local.retention.bytes", "1000"},
		{"CFGT_22", "remote.log.copy.disable", "true"},
		{"CFGT_22", "remote.log.delete.on.disable", "true"},
		{"CFGT_22", "remote.storage.enable", "false"},
		{"CFGT_23", "remote.copy.lag.ms", "1000"},
		{"CFGT_23", "remote.copy.lag.bytes", "1000"},
		{"CFGT_23", "errors.deadletterqueue.group.enable", "true"},
	} {
		t.Run(c.id+"_"+c.key, func(t *testing.T) {
			key, ok := config.Lookup(config.Topic, c.key)
			if !ok {
				t.Fatal("unknown")
			}
			k.set(t, ofTopic(topic), c.key, c.value)
			if value, source := k.shown(t, ofTopic(topic), c.key); value != c.value || source != config.SourceDynamicTopic {
				t.Errorf("shown as %q from source %d", value, source)
			}
			k.unset(t, ofTopic(topic), c.key)
			if value, source := k.shown(t, ofTopic(topic), c.key); value != key.Default || source != config.SourceDefault {
				t.Errorf("once it is removed: shown as %q from source %d", value, source)
			}
			k.mustSend(t, topic, record(time.Now(), 10))
		})
	}
}

func TestTopicSettings_that_are_refused_CFGT_11_24_leave_all_as_it_was(t *testing.T) {
	k := newSettingsBroker(t)
	topic := k.topic(t, map[string]string{"max.message.bytes": "500"})
	for _, c := range []struct{ id, key, value string }{
		{"CFGT_24", "message.downconversion.enable", "true"},
		{"CFGT_24", "message.format.version", "3.0"},
		{"CFGT_24", "message.timestamp.difference.max.ms", "1"},
		{"CFGT_11", "segment.bytes", "1048575"},
		{"CFGT_01", "cleanup.policy", "delete,keep"},
		{"CFGT_02", "retention.ms", "-2"},
		{"CFGT_04", "max.message.bytes", "many"},
		{"CFGT_06", "compression.type", "brotli"},
		{"CFGT_07", "compression.gzip.level", "10"},
		{"CFGT_07", "compression.lz4.level", "0"},
		{"CFGT_08", "message.timestamp.type", "logappendtime"},
		{"CFGT_12", "segment.ms", "0"},
		{"CFGT_22", "remote.storage.enable", "true"},
	} {
		t.Run(c.id+"_"+c.key+"="+c.value, func(t *testing.T) {
			if err := k.alter(t, ofTopic(topic), c.key, &c.value); err != kerr.InvalidConfig { //nolint:errorlint // it is kerr's own
				t.Errorf("%v", err)
			}
			if code := k.send(t, topic, record(time.Now(), 1000)).ErrorCode; code != kerr.MessageTooLarge.Code {
				t.Errorf("max.message.bytes holds no more: %v", kerr.ErrorForCode(code))
			}
		})
	}
}
