package kbrokertest_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/kbrokertest"
	"github.com/kbroker/kbroker/storage/batch"
)

// metadata asks for a topic, which may make it.
func (k *settingsBroker) metadata(t *testing.T, topic string) kmsg.MetadataResponseTopic {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req.Topics = append(req.Topics, asked)
	return ask[*kmsg.MetadataResponse](t, k.cl, req).Topics[0]
}

// create asks for a topic with as many partitions and replicas as the broker's settings say.
func (k *settingsBroker) create(t *testing.T, topic string) (partitions, replicas int, err error) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	row := kmsg.NewCreateTopicsRequestTopic()
	row.Topic, row.NumPartitions, row.ReplicationFactor = topic, -1, -1
	req.Topics, req.TimeoutMillis = append(req.Topics, row), 5000
	got := ask[*kmsg.CreateTopicsResponse](t, k.cl, req).Topics[0]
	return int(got.NumPartitions), int(got.ReplicationFactor), kerr.ErrorForCode(got.ErrorCode)
}

func TestCFGB_01_auto_create_topics_enable(t *testing.T) {
	for value, want := range map[string]*kerr.Error{"true": nil, "false": kerr.UnknownTopicOrPartition} {
		k := newSettingsBroker(t, kbrokertest.Set("auto.create.topics.enable", value))
		if err := kerr.ErrorForCode(k.metadata(t, "a").ErrorCode); !same(err, want) {
			t.Errorf("%s: %v", value, err)
		}
		if _, _, err := k.create(t, "b"); err != nil {
			t.Errorf("%s: on purpose: %v", value, err)
		}
	}
}

func same(err error, want *kerr.Error) bool {
	if want == nil {
		return err == nil
	}
	return errors.Is(err, want)
}

func TestCFGB_02_num_partitions_and_default_replication_factor(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("num.partitions", "3"), kbrokertest.Set("default.replication.factor", "2"))
	if n := len(k.metadata(t, "made-on-first-use").Partitions); n != 3 {
		t.Errorf("%d partitions on first use", n)
	}
	if partitions, replicas, err := k.create(t, "made-on-purpose"); partitions != 3 || replicas != 1 || err != nil { // there is but one broker
		t.Errorf("%d partitions, %d replicas, %v", partitions, replicas, err)
	}
	k = newSettingsBroker(t, kbrokertest.Flag("profile", "production"), kbrokertest.Set("default.replication.factor", "2"))
	if _, _, err := k.create(t, "t"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("two replicas in production: %v", err)
	}
	k = newSettingsBroker(t)
	if partitions, replicas, err := k.create(t, "t"); partitions != 1 || replicas != 1 || err != nil {
		t.Errorf("by default: %d partitions, %d replicas, %v", partitions, replicas, err)
	}
}

func TestCFGB_03_delete_topic_enable(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("delete.topic.enable", "false"), kbrokertest.Topic("t", 1))
	for version, want := range map[int16]*kerr.Error{
		1: kerr.InvalidRequest, 2: kerr.InvalidRequest, 3: kerr.TopicDeletionDisabled, 4: kerr.TopicDeletionDisabled, 5: kerr.TopicDeletionDisabled, 6: kerr.TopicDeletionDisabled,
	} {
		versions := kversion.Stable()
		versions.SetMaxKeyVersion(20, version)
		req := kmsg.NewPtrDeleteTopicsRequest()
		name := "t"
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		req.TopicNames, req.Topics, req.TimeoutMillis = []string{name}, append(req.Topics, topic), 5000
		resp := ask[*kmsg.DeleteTopicsResponse](t, client(t, k.b, kgo.MaxVersions(versions)), req)
		if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); resp.Version != version || !same(err, want) {
			t.Errorf("version %d (%d): %v", version, resp.Version, err)
		}
	}
	if code := k.metadata(t, "t").ErrorCode; code != 0 {
		t.Errorf("the topic: %v", kerr.ErrorForCode(code))
	}
}

func TestCFGB_04_fetch_max_bytes(t *testing.T) {
	sizes := func(setting ...kbrokertest.Option) (n int) {
		k := newSettingsBroker(t, setting...)
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes = 1 << 30
		for _, topic := range []string{"a", "b", "c"} {
			k.mustSend(t, k.named(t, topic, nil), record(time.Now(), 100_000))
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1 << 30
			req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}})
		}
		for _, topic := range ask[*kmsg.FetchResponse](t, k.cl, req).Topics {
			n += len(topic.Partitions[0].RecordBatches)
		}
		return n
	}
	if n := sizes(); n < 300_000 {
		t.Errorf("%d bytes by default", n)
	}
	if n := sizes(kbrokertest.Set("fetch.max.bytes", "1024")); n < 100_000 || n > 102_000 { // the first batch always comes
		t.Errorf("%d bytes with a limit", n)
	}
}

// apiVersions is an ApiVersions request v0 with a client id of so many bytes; length is of all that follows the size.
func apiVersions(length int) []byte {
	const header = 10
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	b = append(b, 0, 18, 0, 0, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(length-header))
	return append(b, make([]byte, length-header)...)
}

// dial connects from an address of 127.0.0.0/8.
func dial(t *testing.T, addr, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answered says whether a connection answers a request within a time, and otherwise whether it was closed.
func answered(t *testing.T, c net.Conn, request []byte, within time.Duration) (answered, closed bool) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(request); err != nil {
		return false, true
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		var timeout net.Error
		return false, !errors.As(err, &timeout) || !timeout.Timeout()
	}
	if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
		t.Fatal(err)
	}
	return true, false
}

func TestCFGB_04_socket_request_max_bytes(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("socket.request.max.bytes", "2000"))
	c := dial(t, k.b.Addr(), "127.0.0.1")
	if ok, _ := answered(t, c, apiVersions(2000), patience); !ok {
		t.Error("no answer to the largest request")
	}
	if _, closed := answered(t, c, apiVersions(2001), patience); !closed {
		t.Error("a larger request doesn't end the connection")
	}
}

// coordinator has the coordinator of a group be there.
func (k *settingsBroker) coordinator(t *testing.T, group string) {
	t.Helper()
	until(t, "there is a coordinator", func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = group
		return ask[*kmsg.FindCoordinatorResponse](t, k.cl, req).ErrorCode == 0
	})
	until(t, "the coordinator serves", func() bool {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{group}
		code := ask[*kmsg.DescribeGroupsResponse](t, k.cl, req).Groups[0].ErrorCode
		return code != kerr.CoordinatorLoadInProgress.Code && code != kerr.NotCoordinator.Code
	})
}

const offsetsTopic = "__consumer_offsets"

func TestCFGB_09_the_offsets_topic_is_made_as_its_settings_say(t *testing.T) {
	for _, c := range []struct {
		options      []kbrokertest.Option
		partitions   int
		segmentBytes string
	}{
		{nil, 50, "104857600"},
		{[]kbrokertest.Option{kbrokertest.Set("offsets.topic.num.partitions", "3"), kbrokertest.Set("offsets.topic.segment.bytes", "2000000")}, 3, "2000000"},
	} {
		k := newSettingsBroker(t, append(c.options, kbrokertest.Set("offsets.topic.replication.factor", "3"))...)
		k.coordinator(t, "g")
		topic := k.metadata(t, offsetsTopic)
		if len(topic.Partitions) != c.partitions || len(topic.Partitions[0].Replicas) != 1 || !topic.IsInternal {
			t.Errorf("%d partitions of %d replicas, internal %t", len(topic.Partitions), len(topic.Partitions[0].Replicas), topic.IsInternal)
		}
		for key, want := range map[string]string{"segment.bytes": c.segmentBytes, "cleanup.policy": "compact", "compression.type": "producer"} {
			if value, source := k.shown(t, ofTopic(offsetsTopic), key); value != want || source != config.SourceDynamicTopic {
				t.Errorf("%s is %s from source %d, want %s", key, value, source, want)
			}
		}
	}
}

// commit commits an offset of partition 0 of topic t; keep is how long it is to be kept, -1 by the broker's settings.
func (k *settingsBroker) commit(t *testing.T, group, metadata string, keep int64) error {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.RetentionTimeMillis = group, -1, keep
	row := kmsg.NewOffsetCommitRequestTopicPartition()
	row.Offset, row.Metadata = 7, &metadata
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{row}}}
	versions := kversion.V3_0_0()
	versions.SetMaxKeyVersion(8, 4) // the last in which the client says how long
	resp := ask[*kmsg.OffsetCommitResponse](t, client(t, k.b, kgo.MaxVersions(versions)), req)
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// committed is the group's offset, -1 where there is none.
func (k *settingsBroker) committed(t *testing.T, group string) int64 {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = group, []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	return ask[*kmsg.OffsetFetchResponse](t, k.cl, req).Topics[0].Partitions[0].Offset
}

func TestCFGB_10_offset_metadata_max_bytes(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("offset.metadata.max.bytes", "10"), kbrokertest.Topic("t", 1))
	k.coordinator(t, "g")
	if err := k.commit(t, "g", strings.Repeat("m", 11), -1); !errors.Is(err, kerr.OffsetMetadataTooLarge) {
		t.Errorf("11 characters: %v", err)
	}
	if err := k.commit(t, "g", strings.Repeat("m", 10), -1); err != nil {
		t.Errorf("10 characters: %v", err)
	}
}

func TestCFGB_10_offsets_retention_check_interval_ms(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("offsets.retention.check.interval.ms", checkMillis), kbrokertest.Topic("t", 1))
	k.coordinator(t, "g")
	for group, keep := range map[string]int64{"g": 1, "kept": -1} {
		if err := k.commit(t, group, "", keep); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the offset expires", func() bool { return k.committed(t, "g") == -1 })
	if k.committed(t, "kept") != 7 {
		t.Error("what is to be kept for long has gone too")
	}
}

// TestCFGB_10_offsets_retention_minutes: a minute is the least, so the offsets are stored as ones of 90 seconds ago and found at the next start.
func TestCFGB_10_offsets_retention_minutes(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("offsets.topic.num.partitions", "1"), kbrokertest.Topic("t", 1))
	k.coordinator(t, "g")
	committed := time.Now().Add(-90 * time.Second)
	key := kmsg.OffsetCommitKey{Version: 1, Group: "g", Topic: "t"}
	value := kmsg.OffsetCommitValue{Version: 3, Offset: 7, LeaderEpoch: -1, CommitTimestamp: committed.UnixMilli()}
	writer := &settingsBroker{cl: client(t, k.b, kgo.MaxVersions(kversion.V3_0_0()), kgo.ClientID("__admin_client"))} // who may write to it
	writer.mustSend(t, offsetsTopic, batch.NewBuilder().Append(committed.UnixMilli(), key.AppendTo(nil), value.AppendTo(nil)).Build())
	restart := func(options ...kbrokertest.Option) {
		k.cl.Close()
		if err := k.b.Stop(); err != nil {
			t.Fatal(err)
		}
		k.b = kbrokertest.Start(t, append(options, kbrokertest.Dir(k.dir))...)
		k.connect(t)
		k.coordinator(t, "g")
	}
	restart(kbrokertest.Set("offsets.retention.minutes", "2"))
	if got := k.committed(t, "g"); got != 7 {
		t.Fatalf("found offset %d", got)
	}
	restart(kbrokertest.Set("offsets.retention.minutes", "1"), kbrokertest.Set("offsets.retention.check.interval.ms", checkMillis))
	until(t, "the offset expires", func() bool { return k.committed(t, "g") == -1 })
}

// join joins a group as a new member with the version that needs no id first.
func (k *settingsBroker) join(t *testing.T, group string, sessionMillis int32) error {
	t.Helper()
	versions := kversion.V3_0_0()
	versions.SetMaxKeyVersion(11, 3)
	cl := client(t, k.b, kgo.MaxVersions(versions))
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, "consumer", sessionMillis, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	return kerr.ErrorForCode(ask[*kmsg.JoinGroupResponse](t, cl, req).ErrorCode)
}

func TestCFGB_11_session_timeouts(t *testing.T) {
	for _, c := range []struct {
		options []kbrokertest.Option
		accepts []int32
		refuses []int32
	}{
		{nil, []int32{6000, 1800000}, []int32{5999, 1800001}},
		{[]kbrokertest.Option{kbrokertest.Set("group.min.session.timeout.ms", "100"), kbrokertest.Set("group.max.session.timeout.ms", "7000")}, []int32{100, 7000}, []int32{99, 7001}},
	} {
		k := newSettingsBroker(t, c.options...)
		k.coordinator(t, "g")
		for i, millis := range c.accepts {
			if err := k.join(t, "accepted"+string(rune('0'+i)), millis); err != nil {
				t.Errorf("%d: %v", millis, err)
			}
		}
		for _, millis := range c.refuses {
			if err := k.join(t, "g", millis); !errors.Is(err, kerr.InvalidSessionTimeout) {
				t.Errorf("%d: %v", millis, err)
			}
		}
	}
}

func TestCFGB_11_group_max_size(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("group.max.size", "1"))
	k.coordinator(t, "g")
	if err := k.join(t, "g", 6000); err != nil {
		t.Fatal(err)
	}
	if err := k.join(t, "g", 6000); !errors.Is(err, kerr.GroupMaxSizeReached) {
		t.Errorf("the second member: %v", err)
	}
}

func TestCFGB_11_group_initial_rebalance_delay_ms(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("group.initial.rebalance.delay.ms", "150"))
	k.coordinator(t, "g")
	begin := time.Now()
	if err := k.join(t, "g", 6000); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("the first rebalance took %v only", took)
	}
}

// producers are the ids that a topic's log remembers.
func (k *settingsBroker) producers(t *testing.T, topic string) (ids []int64) {
	t.Helper()
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	row := ask[*kmsg.DescribeProducersResponse](t, k.cl, req).Topics[0].Partitions[0]
	if row.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(row.ErrorCode))
	}
	for _, p := range row.ActiveProducers {
		ids = append(ids, p.ProducerID)
	}
	return ids
}

func TestCFGB_15_producer_id_expiration_ms_holds_at_once(t *testing.T) {
	check := kbrokertest.Set("producer.id.expiration.check.interval.ms", checkMillis)
	sent := func(id int64) []byte {
		return batch.NewBuilder().SetProducer(id, 0, 0).Append(time.Now().UnixMilli(), []byte("k"), nil).Build()
	}
	k := newSettingsBroker(t, check)
	topic := k.topic(t, nil)
	forget := func(topic string, id int64) {
		t.Helper()
		until(t, "the producer is forgotten", func() bool { return len(k.producers(t, topic)) == 0 })
		if k.mustSend(t, topic, sent(id)).BaseOffset != k.offset(t, topic, -1)-1 {
			t.Error("a batch that was sent before is known though its producer is forgotten")
		}
		until(t, "the producer is forgotten again", func() bool { return len(k.producers(t, topic)) == 0 })
	}
	for i, r := range []struct {
		name string
		set  func(value string)
		end  func()
	}{
		{"cluster", func(v string) { k.set(t, clusterDefault, "producer.id.expiration.ms", v) }, func() { k.unset(t, clusterDefault, "producer.id.expiration.ms") }},
		{"broker", func(v string) { k.set(t, thisBroker, "producer.id.expiration.ms", v) }, func() { k.unset(t, thisBroker, "producer.id.expiration.ms") }},
	} {
		id := int64(1000 + i)
		k.mustSend(t, topic, sent(id))
		if got := k.producers(t, topic); !slices.Equal(got, []int64{id}) {
			t.Fatalf("%s: producers %v before", r.name, got)
		}
		r.set("1")
		forget(topic, id)
		later := k.topic(t, nil)
		k.mustSend(t, later, sent(id))
		forget(later, id)
		r.end()
	}
	k.mustSend(t, topic, sent(2000))
	if got := k.producers(t, topic); !slices.Equal(got, []int64{2000}) {
		t.Errorf("producers %v once the setting is removed", got)
	}
	k = newSettingsBroker(t, check, kbrokertest.Set("producer.id.expiration.ms", "1"))
	topic = k.topic(t, nil)
	k.mustSend(t, topic, sent(1))
	forget(topic, 1)
	k.set(t, clusterDefault, "producer.id.expiration.ms", "600000")
	k.mustSend(t, topic, sent(2))
	if got := k.producers(t, topic); !slices.Equal(got, []int64{2}) {
		t.Errorf("producers %v with a longer time than at the start", got)
	}
}

func TestCFGB_18_connections_max_idle_ms(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("connections.max.idle.ms", "20"))
	c := dial(t, k.b.Addr(), "127.0.0.1")
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection: %v", err)
	}
}

// TestCFGB_18_limits_of_connections: those of an address end the connections that are too many, that of all lets them wait.
func TestCFGB_18_limits_of_connections_hold_at_once(t *testing.T) {
	k := newSettingsBroker(t)
	k.metadata(t, "t") // the client is connected
	const ask, soon = 100, 100 * time.Millisecond
	for i, c := range []struct{ key, value string }{
		{"max.connections.per.ip", "1"},
		{"max.connections.per.ip.overrides", "127.0.0.3:1"},
	} {
		from := "127.0.0." + string(rune('2'+i))
		first := dial(t, k.b.Addr(), from)
		if ok, _ := answered(t, first, apiVersions(ask), patience); !ok {
			t.Fatalf("%s: the first connection isn't answered", c.key)
		}
		k.set(t, clusterDefault, c.key, c.value)
		if _, closed := answered(t, dial(t, k.b.Addr(), from), apiVersions(ask), patience); !closed {
			t.Errorf("%s: the second connection isn't closed", c.key)
		}
		if ok, _ := answered(t, first, apiVersions(ask), patience); !ok {
			t.Errorf("%s: the first connection has suffered", c.key)
		}
		k.unset(t, clusterDefault, c.key)
		if ok, _ := answered(t, dial(t, k.b.Addr(), from), apiVersions(ask), patience); !ok {
			t.Errorf("%s: the second connection is refused though the limit is gone", c.key)
		}
	}
	k.set(t, thisBroker, "max.connections", "1")
	late := dial(t, k.b.Addr(), "127.0.0.1")
	if ok, closed := answered(t, late, apiVersions(ask), soon); ok || closed {
		t.Errorf("one connection more than max.connections: answered %t, closed %t", ok, closed)
	}
	k.unset(t, thisBroker, "max.connections")
	if ok, _ := answered(t, late, nil, patience); !ok {
		t.Error("what waited isn't answered though there is no limit any more")
	}
	k.set(t, clusterDefault, "max.connection.creation.rate", "20")
	begin := time.Now()
	for range 40 {
		if ok, _ := answered(t, dial(t, k.b.Addr(), "127.0.0.1"), apiVersions(ask), patience); !ok {
			t.Fatal("no answer")
		}
	}
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("40 connections in %v at 20 a second", took)
	}
}

func TestCFGB_19_max_incremental_fetch_session_cache_slots(t *testing.T) {
	for value, want := range map[string]bool{"0": false, "1": true} {
		k := newSettingsBroker(t, kbrokertest.Set("max.incremental.fetch.session.cache.slots", value), kbrokertest.Topic("t", 1))
		session := func() int32 {
			req := kmsg.NewPtrFetchRequest()
			req.SessionEpoch = 0
			req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}}}
			return ask[*kmsg.FetchResponse](t, k.cl, req).SessionID
		}
		if got := session() != 0; got != want {
			t.Errorf("%s: a session %t", value, got)
		}
		if session() != 0 {
			t.Errorf("%s: one session more than there are places", value)
		}
	}
}

func TestCFGB_19_max_request_partition_size_limit(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("max.request.partition.size.limit", "2"), kbrokertest.Topic("t", 3))
	cl := client(t, k.b)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
	topic.Topic = "t"
	req.Topics, req.ResponsePartitionLimit = append(req.Topics, topic), 100
	resp := ask[*kmsg.DescribeTopicPartitionsResponse](t, cl, req)
	if len(resp.Topics[0].Partitions) != 2 || resp.NextCursor == nil || resp.NextCursor.Partition != 2 {
		t.Errorf("%d partitions, cursor %+v", len(resp.Topics[0].Partitions), resp.NextCursor)
	}
}

func TestCFGB_23_the_broker_says_who_it_is(t *testing.T) {
	k := newSettingsBroker(t, kbrokertest.Set("broker.rack", "r1"))
	for key, want := range map[string]string{
		"node.id": "1", "broker.id": "1", "broker.rack": "r1", "listeners": "PLAINTEXT://127.0.0.1:", "advertised.listeners": "", "log.dirs": k.dir,
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT",
	} {
		value, _ := k.shown(t, thisBroker, key)
		t.Logf("%s=%s", key, value)
		if !strings.Contains(value, want) {
			t.Errorf("%s is shown as %q, want %q", key, value, want)
		}
	}
}

// TestBrokerSettings_all_that_change_at_run_time_are_tried keeps the table of settings and these tests together.
func TestBrokerSettings_all_that_change_at_run_time_are_tried(t *testing.T) {
	tried := []string{
		"min.insync.replicas", "producer.id.expiration.ms", "max.connections", "max.connections.per.ip", "max.connections.per.ip.overrides",
		"max.connection.creation.rate",
	}
	for _, s := range topicSettings {
		tried = append(tried, s.broker)
	}
	refused := []string{"listeners", "listener.security.protocol.map"} // with the settings of the start
	for _, key := range config.Keys(config.Broker) {
		if key.Effect && !slices.Contains(refused, key.Name) && key.UpdateMode != config.ReadOnly && !slices.Contains(tried, key.Name) {
			t.Errorf("the table says that %s has an effect and can be changed, and no test shows it", key.Name)
		}
	}
}

func TestBrokerSettings_of_the_start_cannot_be_changed_CFGAPI_12(t *testing.T) {
	k := newSettingsBroker(t)
	for key, value := range map[string]string{
		"auto.create.topics.enable": "false", "num.partitions": "2", "default.replication.factor": "2", "delete.topic.enable": "false", "fetch.max.bytes": "2000",
		"socket.request.max.bytes": "2000", "log.retention.check.interval.ms": "7", "log.retention.hours": "1", "log.roll.hours": "1",
		"offsets.topic.num.partitions": "1", "offset.metadata.max.bytes": "1", "offsets.retention.minutes": "1", "group.max.size": "1",
		"group.min.session.timeout.ms": "1", "max.incremental.fetch.session.cache.slots": "1", "max.request.partition.size.limit": "1", "connections.max.idle.ms": "1",
		"node.id": "2", "log.dirs": "/elsewhere", "broker.rack": "r",
	} {
		if err := k.alter(t, clusterDefault, key, &value); !errors.Is(err, kerr.InvalidRequest) {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key, value := range map[string]string{"listeners": "PLAINTEXT://127.0.0.1:1", "listener.security.protocol.map": "PLAINTEXT:SSL"} {
		before, _ := k.shown(t, thisBroker, key)
		if err := k.alter(t, thisBroker, key, &value); !errors.Is(err, kerr.InvalidRequest) {
			t.Errorf("%s: %v", key, err)
		}
		k.set(t, thisBroker, key, before) // nothing changes by it
		if after, _ := k.shown(t, thisBroker, key); after != before {
			t.Errorf("%s is shown as %s, was %s", key, after, before)
		}
	}
	k.set(t, clusterDefault, "num.io.threads", "9") // means nothing here, but tools set it
	if value, source := k.shown(t, thisBroker, "num.io.threads"); value != "9" || source != config.SourceDynamicDefaultBroker {
		t.Errorf("num.io.threads is %s from source %d", value, source)
	}
}
