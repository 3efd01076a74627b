package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

func newTopic(name string, partitions int32, replicas int16, settings ...string) NewTopic {
	t := NewTopic{Name: name, Partitions: partitions, ReplicationFactor: replicas}
	for i := 0; i+1 < len(settings); i += 2 {
		t.Configs = append(t.Configs, ConfigValue{settings[i], str(settings[i+1])})
	}
	return t
}

func assigned(name string, partitions ...[]int32) NewTopic {
	t := NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1}
	for n, replicas := range partitions {
		t.Assignment = append(t.Assignment, ReplicaAssignment{int32(n), replicas})
	}
	return t
}

func TestCreateTopics_META_24_25_26_27_28_29_refusals(t *testing.T) {
	img := adminImage(t, 2, topicRecords("there", 1, 2)...)
	img, _ = mustApply(t, img, topicRecords("my.topic", 2, 1)...)
	withRF := assigned("t", []int32{1})
	withRF.ReplicationFactor = 1
	withCount := assigned("t", []int32{1})
	withCount.Partitions = 1
	gap := assigned("t", []int32{1}, []int32{1})
	gap.Assignment[1].Partition = 2
	twice := assigned("t", []int32{1}, []int32{1})
	twice.Assignment[1].Partition = 0
	null := newTopic("t", 1, 1)
	null.Configs = []ConfigValue{{Key: "retention.ms"}}
	for name, c := range map[string]struct {
		topic NewTopic
		kafka *kerr.Error
		text  string
	}{
		"empty name":                   {newTopic("", 1, 1), kerr.InvalidTopicException, "Topic name is invalid: the empty string is not allowed"},
		"dot":                          {newTopic(".", 1, 1), kerr.InvalidTopicException, "Topic name is invalid: '.' is not allowed"},
		"slash":                        {newTopic("a/b", 1, 1), kerr.InvalidTopicException, "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		"too long":                     {newTopic(strings.Repeat("x", 250), 1, 1), kerr.InvalidTopicException, ""},
		"longest":                      {newTopic(strings.Repeat("x", 249), 1, 1), nil, ""},
		"exists":                       {newTopic("there", 1, 1), kerr.TopicAlreadyExists, "Topic 'there' already exists."},
		"collides":                     {newTopic("my_topic", 1, 1), kerr.InvalidTopicException, "Topic 'my_topic' collides with existing topic: my.topic"},
		"cluster metadata":             {newTopic(ClusterMetadataTopic, 1, 1), kerr.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		"no partitions":                {newTopic("t", 0, 1), kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		"minus two partitions":         {newTopic("t", -2, 1), kerr.InvalidPartitions, ""},
		"no replicas":                  {newTopic("t", 1, 0), kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		"minus two replicas":           {newTopic("t", 1, -2), kerr.InvalidReplicationFactor, ""},
		"more replicas than brokers":   {newTopic("t", 1, 3), kerr.InvalidReplicationFactor, "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some brokers have all their log directories cordoned."},
		"unknown setting":              {newTopic("t", 1, 1, "no.such.key", "1"), kerr.InvalidConfig, "Unknown topic config name: no.such.key"},
		"setting not a number":         {newTopic("t", 1, 1, "retention.ms", "soon"), kerr.InvalidConfig, "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
		"setting out of range":         {newTopic("t", 1, 1, "segment.bytes", "10"), kerr.InvalidConfig, "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		"setting not a choice":         {newTopic("t", 1, 1, "cleanup.policy", "vanish"), kerr.InvalidConfig, "Invalid value vanish for configuration cleanup.policy: String must be one of: compact, delete"},
		"setting null":                 {null, kerr.InvalidConfig, "Null value not supported for topic configs: retention.ms"},
		"setting too long":             {newTopic("t", 1, 1, "leader.replication.throttled.replicas", strings.Repeat("x", 32768)), kerr.InvalidConfig, ""},
		"settings that contradict":     {newTopic("t", 1, 1, "min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5"), kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		"tiered storage":               {newTopic("t", 1, 1, "remote.storage.enable", "true"), kerr.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		"same setting twice":           {newTopic("t", 1, 1, "retention.ms", "5", "retention.ms", "6"), nil, ""},
		"assignment":                   {assigned("t", []int32{1, 2}, []int32{2, 1}), nil, ""},
		"assignment and factor":        {withRF, kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
		"assignment and count":         {withCount, kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."},
		"assignment to nobody":         {assigned("t", []int32{}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		"assignment to a stranger":     {assigned("t", []int32{4711}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker 4711, but no such broker is registered."},
		"assignment twice to a broker": {assigned("t", []int32{2, 2}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker 2 more than once."},
		"assignments of two sizes":     {assigned("t", []int32{1}, []int32{1, 2}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s)."},
		"assignment with a gap":        {gap, kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
		"assignment of one twice":      {twice, kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition 0"},
		"too many partitions":          {newTopic("t", MaxPartitionsPerRequest+1, 1), kerr.PolicyViolation, "Excessively large number of partitions per request."},
		"most partitions":              {newTopic("t", MaxPartitionsPerRequest, 1), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{c.topic}})
			wantRefusal(t, got[0].Refusal, c.kafka, c.text)
			if made := next.NumTopics() - img.NumTopics(); (made == 1) != (c.kafka == nil) {
				t.Errorf("%d topics were made", made)
			}
		})
	}
}

func TestCreateTopics_META_27_same_name_twice_has_one_row(t *testing.T) {
	op := CreateTopics{Topics: []NewTopic{newTopic("t", 1, 1), newTopic("u", 1, 1), newTopic("t", 2, 1)}}
	got, next := decide[[]CreatedTopic](t, adminImage(t, 1), op)
	if len(got) != 2 || got[0].Name != "t" || got[1].Name != "u" {
		t.Fatalf("rows %+v", got)
	}
	wantRefusal(t, got[0].Refusal, kerr.InvalidRequest, "Duplicate topic name.")
	wantRefusal(t, got[1].Refusal, nil, "")
	if next.Topic("t") != nil || next.Topic("u") == nil {
		t.Error("exactly u should have been made")
	}
}

// Measured on Kafka: only topics that are there already collide.
func TestCreateTopics_META_26_colliding_names_of_one_request_are_both_made(t *testing.T) {
	_, next := decide[[]CreatedTopic](t, adminImage(t, 1), CreateTopics{Topics: []NewTopic{newTopic("a.b", 1, 1), newTopic("a_b", 1, 1)}})
	if next.NumTopics() != 2 {
		t.Errorf("%d topics", next.NumTopics())
	}
}

func TestCreateTopics_META_24_31_defaults_and_settings(t *testing.T) {
	static := staticOf(t, "num.partitions", "3", "default.replication.factor", "2")
	got, next := decide[[]CreatedTopic](t, adminImage(t, 2), CreateTopics{Static: static, Topics: []NewTopic{newTopic("t", -1, -1, "retention.ms", "5")}})
	r := got[0]
	if r.Refusal != nil || r.Partitions != 3 || r.Replicas != 2 || r.Clamped != 0 || r.Configs["retention.ms"] != "5" || len(r.Configs) != 1 {
		t.Fatalf("%+v", r)
	}
	topic := next.Topic("t")
	if topic.ID != r.ID || len(topic.Partitions) != 3 {
		t.Fatalf("%+v", topic)
	}
	for n, p := range topic.Partitions {
		if p.Leader < 0 || p.Leader != p.Replicas[0] || !sameIDs(p.ISR, p.Replicas) || p.LeaderEpoch != 0 {
			t.Errorf("partition %d: %+v", n, p)
		}
	}
	if got := next.Configs(ConfigResource{ResourceTopic, "t"}); len(got) != 1 || got["retention.ms"] != "5" { // CFGAPI-03: no defaults copied
		t.Errorf("settings %v", got)
	}
}

func TestCreateTopics_META_30_validating_makes_nothing(t *testing.T) {
	img := adminImage(t, 1)
	got, next := decide[[]CreatedTopic](t, img, CreateTopics{ValidateOnly: true, Topics: []NewTopic{newTopic("t", 3, 1), newTopic("bad name", 1, 1)}})
	if next.NumTopics() != 0 || got[0].Partitions != 3 || got[0].Refusal != nil || got[1].Refusal == nil {
		t.Errorf("%d topics, rows %+v", next.NumTopics(), got)
	}
}

func TestCreateTopics_META_25_replicas_are_clamped_where_wanted(t *testing.T) {
	topic := newTopic("t", 1, 3)
	topic.ClampReplicas = true
	got, next := decide[[]CreatedTopic](t, adminImage(t, 1), CreateTopics{Topics: []NewTopic{topic}})
	if got[0].Refusal != nil || got[0].Clamped != 3 || got[0].Replicas != 1 || len(next.Topic("t").Partitions[0].Replicas) != 1 {
		t.Errorf("%+v", got[0])
	}
}

func TestCreateTopics_META_35_bounds(t *testing.T) {
	img := adminImage(t, 1)
	got, _ := decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{newTopic("t", 6000, 1), newTopic("u", 6000, 1)}})
	for _, r := range got {
		wantRefusal(t, r.Refusal, kerr.PolicyViolation, "Excessively large number of partitions per request.")
	}
	_, img = decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{newTopic("t1", MaxPartitionsPerRequest, 1)}})
	if img.NumPartitions() != MaxPartitionsPerRequest {
		t.Fatalf("%d partitions", img.NumPartitions())
	}
	full := Image{Index: img.Index, brokers: img.brokers, topicsByName: img.topicsByName, topicsByID: img.topicsByID, partitions: MaxPartitionsPerCluster}
	got, _ = decide[[]CreatedTopic](t, &full, CreateTopics{Topics: []NewTopic{newTopic("more", 1, 1)}})
	wantRefusal(t, got[0].Refusal, kerr.InvalidPartitions, "The cluster would have 200001 partitions; this broker supports 200000.")
	grown, _ := decide[[]GrownTopic](t, &full, CreatePartitions{Topics: []MorePartitions{{Topic: "t1", Total: MaxPartitionsPerRequest + 1}}})
	wantRefusal(t, grown[0].Refusal, kerr.InvalidPartitions, "")
}

func TestInternalTopics_META_07_15_have_their_own_settings(t *testing.T) {
	img := adminImage(t, 1)
	static := staticOf(t, "offsets.topic.num.partitions", "7", "offsets.topic.segment.bytes", "2000000")
	for name, want := range map[string]struct {
		partitions int
		settings   map[string]string
	}{
		ConsumerOffsetsTopic:  {7, map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "2000000"}},
		TransactionStateTopic: {50, map[string]string{"cleanup.policy": "compact", "compression.type": "uncompressed", "segment.bytes": "104857600", "min.insync.replicas": "1", "unclean.leader.election.enable": "false"}},
		ShareGroupStateTopic:  {50, map[string]string{"cleanup.policy": "delete", "compression.type": "producer", "segment.bytes": "104857600", "min.insync.replicas": "1", "retention.ms": "-1"}},
	} {
		topic, ok := InternalTopic(name, static, img)
		if !ok || !IsInternalTopic(name) {
			t.Fatalf("%s isn't internal", name)
		}
		got, next := decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{topic}, Static: static})
		if got[0].Refusal != nil || len(next.Topic(name).Partitions) != want.partitions || got[0].Replicas != 1 || got[0].Clamped != 3 {
			t.Errorf("%s: %+v", name, got[0])
		}
		if settings := next.Configs(ConfigResource{ResourceTopic, name}); fmt.Sprint(settings) != fmt.Sprint(want.settings) {
			t.Errorf("%s has %v, want %v", name, settings, want.settings)
		}
	}
	if _, ok := InternalTopic("t", static, img); ok {
		t.Error("t is no internal topic")
	}
}

func TestPlacement_REPL_11_spreads_replicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		brokers, racks := rapid.IntRange(1, 9).Draw(t, "brokers"), rapid.IntRange(1, 4).Draw(t, "racks")
		img := &Image{brokers: map[int32]*BrokerInfo{}}
		seen := map[string]bool{}
		for id := range brokers {
			rack := fmt.Sprint("r", rapid.IntRange(1, racks).Draw(t, "rack"))
			seen[rack] = true
			img.brokers[int32(id)] = &BrokerInfo{ID: int32(id), Rack: &rack}
		}
		replicas := rapid.IntRange(1, brokers).Draw(t, "replicas")
		p, refused := newPlacement(img, replicas)
		if refused != nil {
			t.Fatal(refused)
		}
		start := rapid.IntRange(0, 1000).Draw(t, "start")
		leads := map[int32]int{}
		for n := range brokers * 4 {
			placed := p.place(start+n, replicas)
			sorted := slices.Sorted(slices.Values(placed))
			if len(placed) != replicas || len(slices.Compact(sorted)) != replicas {
				t.Fatalf("placed %v", placed)
			}
			used := map[string]bool{}
			for _, id := range placed {
				used[*img.brokers[id].Rack] = true
			}
			if len(used) < min(replicas, len(seen)) {
				t.Fatalf("placed %v in %d racks of %d", placed, len(used), len(seen))
			}
			leads[placed[0]]++
		}
		for id, n := range leads {
			if n != 4 {
				t.Fatalf("broker %d leads %d partitions of %d", id, n, brokers*4)
			}
		}
	})
}

func TestPlacement_followers_of_a_leader_are_spread(t *testing.T) {
	img := &Image{brokers: map[int32]*BrokerInfo{}}
	for id := range int32(4) {
		img.brokers[id] = &BrokerInfo{ID: id}
	}
	p, _ := newPlacement(img, 2)
	pairs := map[[2]int32]int{}
	for n := range 4 * 3 * 2 {
		placed := p.place(n, 2)
		pairs[[2]int32{placed[0], placed[1]}]++
	}
	for pair, n := range pairs {
		if n != 2 {
			t.Errorf("%v are together %d times", pair, n)
		}
	}
	if len(pairs) != 4*3 {
		t.Errorf("%d pairs", len(pairs))
	}
}

func TestPlacement_fenced_brokers_come_last(t *testing.T) {
	img := &Image{brokers: map[int32]*BrokerInfo{1: {ID: 1, Fenced: true}, 2: {ID: 2}}}
	p, refused := newPlacement(img, 2)
	if refused != nil {
		t.Fatal(refused)
	}
	placed := p.place(0, 2)
	info, ok := newPartition(img, placed)
	if !ok || !sameIDs(placed, []int32{2, 1}) || !sameIDs(info.ISR, []int32{2}) || info.Leader != 2 {
		t.Errorf("placed %v, partition %+v", placed, info)
	}
	img.brokers[2].Fenced = true
	if _, refused := newPlacement(img, 1); refused == nil {
		t.Error("nobody can lead")
	}
}

func TestDeleteTopics_META_27_33(t *testing.T) {
	img := adminImage(t, 1, topicRecords("a", 1, 1)...)
	img, _ = mustApply(t, img, topicRecords("b", 2, 2)...)
	a, b := img.Topic("a").ID, img.Topic("b").ID
	nobody := TopicID{5}
	type row struct {
		name  string
		id    TopicID
		kafka *kerr.Error
		text  string
	}
	for name, c := range map[string]struct {
		topics []TopicRef
		rows   []row
		left   int
	}{
		"by name":            {[]TopicRef{{Name: str("a")}}, []row{{"a", a, nil, ""}}, 1},
		"by id":              {[]TopicRef{{ID: b}}, []row{{"b", b, nil, ""}}, 1},
		"unknown name":       {[]TopicRef{{Name: str("bad name")}}, []row{{"bad name", TopicID{}, kerr.UnknownTopicOrPartition, "This server does not host this topic-partition."}}, 2},
		"unknown id":         {[]TopicRef{{ID: nobody}}, []row{{"", nobody, kerr.UnknownTopicID, "This server does not host this topic ID."}}, 2},
		"neither":            {[]TopicRef{{}}, []row{{"", TopicID{}, kerr.InvalidRequest, "Neither topic name nor id were specified."}}, 2},
		"both":               {[]TopicRef{{Name: str("a"), ID: a}}, []row{{"a", a, kerr.InvalidRequest, "You may not specify both topic name and topic id."}}, 2},
		"name twice":         {[]TopicRef{{Name: str("a")}, {Name: str("a")}, {Name: str("b")}}, []row{{"a", TopicID{}, kerr.InvalidRequest, "Duplicate topic name."}, {"b", b, nil, ""}}, 1},
		"id three times":     {[]TopicRef{{ID: a}, {ID: a}, {ID: a}}, []row{{"", a, kerr.InvalidRequest, "Duplicate topic id."}}, 2},
		"name and its id":    {[]TopicRef{{Name: str("a")}, {ID: a}}, []row{{"a", a, kerr.InvalidRequest, "The provided topic name maps to an ID that was already supplied."}}, 2},
		"id, then its name":  {[]TopicRef{{ID: a}, {Name: str("a")}}, []row{{"a", a, kerr.InvalidRequest, ""}}, 2},
		"several":            {[]TopicRef{{Name: str("a")}, {ID: b}}, []row{{"a", a, nil, ""}, {"b", b, nil, ""}}, 0},
		"good beside a miss": {[]TopicRef{{Name: str("x")}, {Name: str("b")}}, []row{{"x", TopicID{}, kerr.UnknownTopicOrPartition, ""}, {"b", b, nil, ""}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := decide[[]DeletedTopic](t, img, DeleteTopics{Topics: c.topics})
			if len(got) != len(c.rows) {
				t.Fatalf("%d rows, want %d: %+v", len(got), len(c.rows), got)
			}
			for i, want := range c.rows {
				if name := got[i].Name; (name == nil) != (want.name == "") || name != nil && *name != want.name || got[i].ID != want.id {
					t.Errorf("row %d is of %v %x", i, name, got[i].ID)
				}
				wantRefusal(t, got[i].Refusal, want.kafka, want.text)
			}
			if next.NumTopics() != c.left {
				t.Errorf("%d topics are left, want %d", next.NumTopics(), c.left)
			}
		})
	}
}

func TestDeleteTopics_META_14_34_name_and_settings_are_free_again(t *testing.T) {
	img := adminImage(t, 1)
	_, img = decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{newTopic("a.b", 1, 1, "retention.ms", "5")}})
	_, img = decide[[]DeletedTopic](t, img, DeleteTopics{Topics: []TopicRef{{Name: str("a.b")}}})
	got, img := decide[[]CreatedTopic](t, img, CreateTopics{Topics: []NewTopic{newTopic("a_b", 1, 1)}})
	if got[0].Refusal != nil || len(img.Configs(ConfigResource{ResourceTopic, "a.b"})) != 0 {
		t.Errorf("%v, settings left %v", got[0].Refusal, img.Configs(ConfigResource{ResourceTopic, "a.b"}))
	}
}

func TestCreatePartitions_META_35(t *testing.T) {
	img := adminImage(t, 2, topicRecords("t", 1, 2)...)
	replicas := len(img.Topic("t").Partitions[0].Replicas)
	one := make([]int32, replicas)
	for i := range one {
		one[i] = int32(i + 1)
	}
	for name, c := range map[string]struct {
		grow  MorePartitions
		kafka *kerr.Error
		text  string
	}{
		"more":              {MorePartitions{"t", 5, nil}, nil, ""},
		"same":              {MorePartitions{"t", 2, nil}, kerr.InvalidPartitions, "Topic already has 2 partition(s)."},
		"fewer":             {MorePartitions{"t", 1, nil}, kerr.InvalidPartitions, "The topic t currently has 2 partition(s); 1 would not be an increase."},
		"negative":          {MorePartitions{"t", -1, nil}, kerr.InvalidPartitions, "The topic t currently has 2 partition(s); -1 would not be an increase."},
		"missing":           {MorePartitions{"x", 3, nil}, kerr.UnknownTopicOrPartition, ""},
		"far too many":      {MorePartitions{"t", MaxPartitionsPerRequest + 3, nil}, kerr.PolicyViolation, "Excessively large number of additional partitions per request."},
		"assigned":          {MorePartitions{"t", 3, [][]int32{one}}, nil, ""},
		"assigned too few":  {MorePartitions{"t", 4, [][]int32{one}}, kerr.InvalidReplicaAssignment, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		"assigned stranger": {MorePartitions{"t", 3, [][]int32{{999}}}, kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker 999, but no such broker is registered."},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := decide[[]GrownTopic](t, img, CreatePartitions{Topics: []MorePartitions{c.grow}})
			wantRefusal(t, got[0].Refusal, c.kafka, c.text)
			want := 2
			if c.kafka == nil {
				want = int(c.grow.Total)
			}
			if n := len(next.Topic("t").Partitions); n != want {
				t.Errorf("%d partitions, want %d", n, want)
			}
		})
	}
	t.Run("validating adds none", func(t *testing.T) {
		got, next := decide[[]GrownTopic](t, img, CreatePartitions{ValidateOnly: true, Topics: []MorePartitions{{"t", 5, nil}}})
		if got[0].Refusal != nil || len(next.Topic("t").Partitions) != 2 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("twice", func(t *testing.T) {
		got, _ := decide[[]GrownTopic](t, img, CreatePartitions{Topics: []MorePartitions{{"t", 5, nil}, {"t", 6, nil}}})
		if len(got) != 1 {
			t.Fatalf("%d rows", len(got))
		}
		wantRefusal(t, got[0].Refusal, kerr.InvalidRequest, "Duplicate topic name.")
	})
}

func TestElectLeaders_REPL_07_17(t *testing.T) {
	id := testID(1)
	partition := func(p PartitionInfo) *Image {
		return adminImage(t, 3, TopicRecord{"t", id}, PartitionRecord{id, 0, p})
	}
	stays := PartitionInfo{Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 1, LeaderEpoch: 4}
	moved := PartitionInfo{Replicas: []int32{1, 2}, ISR: []int32{2, 1}, Leader: 2, LeaderEpoch: 4}
	behind := PartitionInfo{Replicas: []int32{1, 2}, ISR: []int32{2}, Leader: 2, LeaderEpoch: 4}
	none := PartitionInfo{Replicas: []int32{1, 2}, ISR: []int32{7}, Leader: -1, LeaderEpoch: 4}
	gone := PartitionInfo{Replicas: []int32{7}, ISR: []int32{7}, Leader: -1, LeaderEpoch: 4}
	for name, c := range map[string]struct {
		kind   ElectionType
		before PartitionInfo
		kafka  *kerr.Error
		leader int32
	}{
		"preferred leads":            {PreferredElection, stays, kerr.ElectionNotNeeded, 1},
		"preferred takes over":       {PreferredElection, moved, nil, 1},
		"preferred isn't in sync":    {PreferredElection, behind, kerr.PreferredLeaderNotAvailable, 2},
		"unclean with a leader":      {UncleanElection, behind, kerr.ElectionNotNeeded, 2},
		"unclean without one":        {UncleanElection, none, nil, 1},
		"unclean, nobody is left":    {UncleanElection, gone, kerr.EligibleLeadersNotAvailable, -1},
		"preferred, nobody is there": {PreferredElection, gone, kerr.PreferredLeaderNotAvailable, -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := decide[[]TopicElections](t, partition(c.before), ElectLeaders{Type: c.kind, Topics: []PartitionsOf{{"t", []int32{0}}}})
			wantRefusal(t, got[0].Partitions[0].Refusal, c.kafka, "")
			p, wantEpoch := next.Topic("t").Partitions[0], int32(4)
			if c.kafka == nil {
				wantEpoch = 5 // REPL-02, META-10
			}
			if p.Leader != c.leader || p.LeaderEpoch != wantEpoch {
				t.Errorf("leader %d in epoch %d, want %d in %d", p.Leader, p.LeaderEpoch, c.leader, wantEpoch)
			}
		})
	}
	t.Run("all lists the topics without the partitions that need none", func(t *testing.T) {
		got, _ := decide[[]TopicElections](t, partition(stays), ElectLeaders{})
		if len(got) != 1 || got[0].Topic != "t" || len(got[0].Partitions) != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		got, _ := decide[[]TopicElections](t, partition(stays), ElectLeaders{Topics: []PartitionsOf{{"x", []int32{0}}, {"t", []int32{4}}}})
		wantRefusal(t, got[0].Partitions[0].Refusal, kerr.UnknownTopicOrPartition, "No such topic as x")
		wantRefusal(t, got[1].Partitions[0].Refusal, kerr.UnknownTopicOrPartition, "No such partition as t-4")
	})
	t.Run("unknown type", func(t *testing.T) {
		if _, err := (ElectLeaders{Type: 7}).Decide(partition(stays), adminEnv()); refusalOf(err).Message != "Unknown election type 7" {
			t.Error(err)
		}
	})
}

func TestAlterReassignments_ADM_04_REPL_08_17(t *testing.T) {
	id := testID(1)
	img := adminImage(t, 3, TopicRecord{"t", id}, PartitionRecord{id, 0, PartitionInfo{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}})
	for name, c := range map[string]struct {
		topic     string
		partition int32
		replicas  []int32
		keep      bool
		kafka     *kerr.Error
		text      string
		want      []int32
	}{
		"cancel":         {"t", 0, nil, false, kerr.NoReassignmentInProgress, "", []int32{1, 2}},
		"same":           {"t", 0, []int32{1, 2}, true, nil, "", []int32{1, 2}},
		"other order":    {"t", 0, []int32{2, 1}, true, nil, "", []int32{2, 1}},
		"fewer":          {"t", 0, []int32{1}, false, nil, "", []int32{1}},
		"fewer, kept":    {"t", 0, []int32{1}, true, kerr.InvalidReplicationFactor, "", []int32{1, 2}},
		"not in sync":    {"t", 0, []int32{2}, false, kerr.InvalidReplicaAssignment, "", []int32{1, 2}},
		"new copy":       {"t", 0, []int32{1, 3}, false, kerr.InvalidReplicaAssignment, "", []int32{1, 2}},
		"empty":          {"t", 0, []int32{}, false, kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.", []int32{1, 2}},
		"stranger":       {"t", 0, []int32{4711}, false, kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker 4711, but no such broker is registered.", []int32{1, 2}},
		"twice":          {"t", 0, []int32{1, 1}, false, kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker 1 more than once.", []int32{1, 2}},
		"no such topic":  {"x", 0, []int32{1}, false, kerr.UnknownTopicOrPartition, "Unable to find a topic named x.", []int32{1, 2}},
		"no such number": {"t", 9, nil, false, kerr.UnknownTopicOrPartition, "Unable to find partition t:9.", []int32{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			op := AlterReassignments{KeepReplicationFactor: c.keep, Topics: []TopicReassignment{{c.topic, []Reassignment{{c.partition, c.replicas}}}}}
			got, next := decide[[]TopicElections](t, img, op)
			wantRefusal(t, got[0].Partitions[0].Refusal, c.kafka, c.text)
			p := next.Topic("t").Partitions[0]
			if !sameIDs(p.Replicas, c.want) || p.Leader != 1 {
				t.Errorf("partition %+v, want replicas %v", p, c.want)
			}
		})
	}
}

func TestUpdateFeatures_ADM_05(t *testing.T) {
	img := adminImage(t, 1, FeatureRecord{"transaction.version", 2}, FeatureRecord{FeatureMetadataVersion, 33})
	const all = "The update failed for all features since the following feature had an error: "
	for name, c := range map[string]struct {
		update FeatureUpdate
		text   string
	}{
		"same level":           {FeatureUpdate{"transaction.version", 2, Upgrade}, ""},
		"downgrade":            {FeatureUpdate{"transaction.version", 1, SafeDowngrade}, ""},
		"downgrade as upgrade": {FeatureUpdate{"transaction.version", 1, Upgrade}, "Invalid update version 1 for feature transaction.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."},
		"too high":             {FeatureUpdate{FeatureMetadataVersion, 999, Upgrade}, "Invalid update version 999 for feature metadata.version. Local controller 1 only supports versions 7-33"},
		"unknown":              {FeatureUpdate{"no.such.feature", 1, Upgrade}, "Invalid update version 1 for feature no.such.feature. Local controller 1 does not support this feature."},
		"negative":             {FeatureUpdate{"group.version", -1, Upgrade}, "Invalid update version -1 for feature group.version. A feature version cannot be less than 0."},
		"unknown type":         {FeatureUpdate{"group.version", 1, 7}, "Invalid update version 1 for feature group.version. The controller does not support the given upgrade type."},
		"metadata down":        {FeatureUpdate{FeatureMetadataVersion, 20, SafeDowngrade}, "Unsupported metadata.version downgrade from 33 to 20. Refusing to perform the requested downgrade because it might delete metadata information."},
	} {
		t.Run(name, func(t *testing.T) {
			good := FeatureUpdate{"share.version", 2, Upgrade}
			d, err := UpdateFeatures{Updates: []FeatureUpdate{good, c.update}}.Decide(img, adminEnv())
			if c.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if r := refusalOf(err); r.Kafka != kerr.InvalidUpdateVersion || r.Message != all+c.text || d.Records != nil {
				t.Errorf("error %v, records %v", err, d.Records)
			}
		})
	}
}
