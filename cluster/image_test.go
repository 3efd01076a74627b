package cluster

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func testID(n int) TopicID { return TopicID{0: 1, 7: byte(n * 31), 14: byte(n >> 8), 15: byte(n)} }

func mustApply(t testing.TB, img *Image, records ...Record) (*Image, Delta) {
	t.Helper()
	next, d, err := img.Apply(img.Index+1, records)
	if err != nil {
		t.Fatal(err)
	}
	return next, d
}

func topicRecords(name string, n, partitions int) []Record {
	records := []Record{TopicRecord{Name: name, ID: testID(n)}}
	for p := range partitions {
		records = append(records, PartitionRecord{TopicID: testID(n), Partition: int32(p), PartitionInfo: PartitionInfo{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}})
	}
	return records
}

func TestImageApply(t *testing.T) {
	t.Run("leaves the image it starts from as it is", func(t *testing.T) {
		before, _ := mustApply(t, &Image{}, topicRecords("a", 1, 2)...)
		value := "1"
		after, d := mustApply(t, before,
			RemoveTopicRecord{testID(1)},
			TopicRecord{Name: "a", ID: testID(2)},
			ConfigRecord{Resource: ConfigResource{ResourceTopic, "a"}, Key: "k", Value: &value})
		if got := before.Topic("a"); got == nil || got.ID != testID(1) || len(got.Partitions) != 2 || before.NumPartitions() != 2 {
			t.Fatalf("the old image changed: %+v", got)
		}
		if before.Configs(ConfigResource{ResourceTopic, "a"}) != nil {
			t.Fatal("the old image got settings")
		}
		if got := after.Topic("a"); got.ID != testID(2) || len(got.Partitions) != 0 || after.TopicByID(testID(1)) != nil || after.NumPartitions() != 0 {
			t.Fatalf("the new image is wrong: %+v", got)
		}
		if len(d.DeletedTopics) != 1 || d.DeletedTopics[0].ID != testID(1) || len(d.CreatedTopics) != 1 || len(d.Configs) != 1 {
			t.Fatalf("delta: %+v", d)
		}
	})
	t.Run("META_14 a topic made again has another id and none of the old one's settings", func(t *testing.T) {
		value := "1"
		img, _ := mustApply(t, &Image{}, topicRecords("a", 1, 1)...)
		img, _ = mustApply(t, img, ConfigRecord{Resource: ConfigResource{ResourceTopic, "a"}, Key: "k", Value: &value})
		img, _ = mustApply(t, img, RemoveTopicRecord{testID(1)})
		img, _ = mustApply(t, img, topicRecords("a", 2, 1)...)
		if img.TopicByID(testID(1)) != nil || img.Topic("a").ID != testID(2) || len(img.Configs(ConfigResource{ResourceTopic, "a"})) != 0 {
			t.Fatal("something of the old topic is left")
		}
	})
	t.Run("tells partitions that are new from those that changed", func(t *testing.T) {
		img, d := mustApply(t, &Image{}, topicRecords("a", 1, 2)...)
		if len(d.Partitions) != 2 || d.Partitions[0].Old != nil {
			t.Fatalf("delta: %+v", d)
		}
		_, d = mustApply(t, img,
			PartitionRecord{TopicID: testID(1), Partition: 1, PartitionInfo: PartitionInfo{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, LeaderEpoch: 1}},
			PartitionRecord{TopicID: testID(1), Partition: 2, PartitionInfo: PartitionInfo{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}})
		if len(d.Partitions) != 2 || d.Partitions[0].Old == nil || d.Partitions[0].New.LeaderEpoch != 1 || d.Partitions[1].Old != nil || len(d.CreatedTopics) != 0 {
			t.Fatalf("delta: %+v", d)
		}
	})
	t.Run("finds names that collide", func(t *testing.T) {
		img, _ := mustApply(t, &Image{}, append(topicRecords("a.b", 1, 1), topicRecords("a_b", 2, 1)...)...)
		for name, want := range map[string]string{"a.b": "a_b", "a_b": "a.b", "ab": "", "a.c": ""} {
			if got := img.CollidingTopic(name); got != want {
				t.Errorf("%s collides with %q, want %q", name, got, want)
			}
		}
		img, _ = mustApply(t, img, RemoveTopicRecord{testID(2)})
		if got := img.CollidingTopic("a.b"); got != "" {
			t.Errorf("a.b collides with the deleted %q", got)
		}
	})
}

func TestImageApplyRefuses(t *testing.T) {
	base, _ := mustApply(t, &Image{}, append(topicRecords("a", 1, 2), ClusterRecord{"c"}, ProducerIDsRecord{1000},
		PartitionRecord{TopicID: testID(1), Partition: 0, PartitionInfo: PartitionInfo{LeaderEpoch: 3}})...)
	for name, r := range map[string]Record{
		"a second topic of a name":                 TopicRecord{Name: "a", ID: testID(2)},
		"a second topic of an id":                  TopicRecord{Name: "b", ID: testID(1)},
		"a topic without an id":                    TopicRecord{Name: "b"},
		"a partition of no topic":                  PartitionRecord{TopicID: testID(9)},
		"a gap between partitions":                 PartitionRecord{TopicID: testID(1), Partition: 3},
		"a negative partition":                     PartitionRecord{TopicID: testID(1), Partition: -1},
		"META_10 a leader epoch that goes back":    PartitionRecord{TopicID: testID(1), Partition: 0, PartitionInfo: PartitionInfo{LeaderEpoch: 2}},
		"the deletion of no topic":                 RemoveTopicRecord{testID(9)},
		"another cluster":                          ClusterRecord{"d"},
		"IDEM_02 producer ids that were given out": ProducerIDsRecord{999},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := base.Apply(2, []Record{r}); err == nil {
				t.Fatal("applied")
			}
		})
	}
}

func genInfo(t *rapid.T) PartitionInfo {
	ints := rapid.SliceOfN(rapid.Int32(), 1, 4)
	return PartitionInfo{Replicas: ints.Draw(t, "replicas"), ISR: ints.Draw(t, "isr"), Leader: rapid.Int32().Draw(t, "leader"),
		LeaderEpoch: rapid.Int32().Draw(t, "epoch"), PartitionEpoch: rapid.Int32().Draw(t, "pepoch")}
}

func genRecord(t *rapid.T) Record {
	id := TopicID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	text := rapid.String()
	optional := rapid.Ptr(text, true)
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return ClusterRecord{text.Draw(t, "cluster")}
	case 1:
		return TopicRecord{Name: text.Draw(t, "name"), ID: id}
	case 2:
		return PartitionRecord{TopicID: id, Partition: rapid.Int32().Draw(t, "partition"), PartitionInfo: genInfo(t)}
	case 3:
		return RemoveTopicRecord{id}
	case 4:
		return ConfigRecord{Resource: ConfigResource{rapid.Int8().Draw(t, "type"), text.Draw(t, "resource")}, Key: text.Draw(t, "key"), Value: optional.Draw(t, "value")}
	case 5:
		return ProducerIDsRecord{rapid.Int64Min(0).Draw(t, "next")}
	case 6:
		b := BrokerInfo{ID: rapid.Int32().Draw(t, "broker"), Epoch: rapid.Int64().Draw(t, "bepoch"), Rack: optional.Draw(t, "rack"), Fenced: rapid.Bool().Draw(t, "fenced")}
		for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			b.Endpoints = append(b.Endpoints, Endpoint{text.Draw(t, "listener"), text.Draw(t, "host"), rapid.Int32().Draw(t, "port")})
		}
		return BrokerRecord{b}
	default:
		return FeatureRecord{Name: text.Draw(t, "feature"), Level: rapid.Int16().Draw(t, "level")}
	}
}

func TestRecordsSurviveEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []Record
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			records = append(records, genRecord(t))
		}
		encoded := EncodeRecords(nil, records)
		decoded, err := DecodeRecords(encoded)
		if err != nil || !reflect.DeepEqual(records, decoded) {
			t.Fatalf("%#v became %#v, %v", records, decoded, err)
		}
		// What is cut off or follows is an error or fewer records, never a panic or something else.
		cut := rapid.IntRange(0, len(encoded)).Draw(t, "cut")
		if shorter, err := DecodeRecords(encoded[:cut]); err == nil && len(shorter) >= len(records) && cut < len(encoded) && len(records) > 0 {
			t.Fatalf("%d of %d bytes gave all records", cut, len(encoded))
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add(EncodeRecords(nil, topicRecords("a", 1, 3)))
	f.Add([]byte{recordsVersion, byte(KindBroker), 5, 1, 1, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := DecodeRecords(b)
		if err == nil {
			if again, err := DecodeRecords(EncodeRecords(nil, records)); err != nil || !reflect.DeepEqual(records, again) {
				t.Fatalf("%#v became %#v, %v", records, again, err)
			}
			(&Image{}).Apply(1, records)
		}
		DecodeSnapshot(b)
	})
}

// sampleImage has something of everything.
func sampleImage(t testing.TB) *Image {
	v := "1"
	rack := "r"
	img, _ := mustApply(t, &Image{Index: 41}, append(append(topicRecords("a.b", 1, 3), topicRecords("c", 2, 1)...),
		ClusterRecord{"id"}, ProducerIDsRecord{3000}, FeatureRecord{"metadata.version", 33},
		ConfigRecord{Resource: ConfigResource{ResourceTopic, "c"}, Key: "k", Value: &v},
		ConfigRecord{Resource: ConfigResource{ResourceBroker, ""}, Key: "l", Value: &v},
		BrokerRecord{BrokerInfo{ID: 1, Epoch: 7, Rack: &rack, Endpoints: []Endpoint{{"PLAINTEXT", "h", 9092}}}})...)
	return img
}

func TestSnapshot(t *testing.T) {
	img := sampleImage(t)
	encoded := img.EncodeSnapshot()
	t.Run("holds the whole image", func(t *testing.T) {
		again, err := DecodeSnapshot(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.EncodeSnapshot(), encoded) || again.Index != img.Index || !reflect.DeepEqual(again.Everything(), img.Everything()) {
			t.Fatalf("%+v became %+v", img, again)
		}
		if again.CollidingTopic("a_b") != "a.b" || again.NumPartitions() != 4 {
			t.Fatal("what is derived is missing")
		}
	})
	t.Run("is refused with any byte changed or cut off", func(t *testing.T) {
		for i := range encoded {
			bad := bytes.Clone(encoded)
			bad[i] ^= 1
			if _, err := DecodeSnapshot(bad); err == nil {
				t.Fatalf("byte %d changed and nobody saw it", i)
			}
			if _, err := DecodeSnapshot(encoded[:i]); err == nil {
				t.Fatalf("cut at %d and nobody saw it", i)
			}
		}
	})
}

// Creating topics one by one must not cost in proportion to those there are.
func TestManyTopicsStayCheap(t *testing.T) {
	const topics = 5000
	img := &Image{}
	begin := time.Now()
	for n := range topics {
		img, _ = mustApply(t, img, topicRecords(fmt.Sprintf("topic.%d", n), n, 3)...)
	}
	took := time.Since(begin)
	t.Logf("%d topics, one by one: %v", topics, took)
	if took > 5*time.Second { // some 30 ms are usual; copying whole maps took 3 s and more
		t.Fatalf("%v for %d topics", took, topics)
	}
	if img.NumTopics() != topics || len(img.TopicNames()) != topics || img.NumPartitions() != 3*topics {
		t.Fatal("topics are missing")
	}
}

func BenchmarkCreateTopicAmong10000(b *testing.B) {
	img := &Image{}
	for n := range 10_000 {
		img, _ = mustApply(b, img, topicRecords(fmt.Sprintf("topic.%d", n), n, 3)...)
	}
	records := topicRecords("another", 20_000, 3)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := img.Apply(1, records); err != nil {
			b.Fatal(err)
		}
	}
}
