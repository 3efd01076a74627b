package cases

import (
	"fmt"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// idempotence covers producer ids and sequence numbers.
func idempotence(l *diff.List) {
	l.Each("IDEM/init", "IDEM-01", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "first", v, kit.Init(""))
		diff.Do(c, "second", v, kit.Init(""))
	})
	l.Each("IDEM/duplicate", "IDEM-03", diff.Versions(3, 7, 9, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, "")
		for seq, label := range []string{"first", "second", "third"} {
			diff.Do(c, label, v, kit.Produce(topic, 0, kit.Values(t, label).From(p, int32(seq)).Bytes()))
		}
		diff.Do(c, "second again", v, kit.Produce(topic, 0, kit.Values(t, "second").From(p, 1).Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("IDEM/duplicate_window", "IDEM-03 IDEM-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, "")
		for seq := range int32(7) {
			kit.Fill(t, c, topic, 0, kit.Values(t, "v").From(p, seq))
		}
		for seq := range int32(7) {
			diff.Do(c, fmt.Sprintf("sequence %d again", seq), 9, kit.Produce(topic, 0, kit.Values(t, "v").From(p, seq).Bytes()))
		}
	})
	sequences := map[string][]int32{"gap": {0, 2}, "backwards": {0, 1, 0}, "starts_at_five": {5, 6}, "same_first_other_last": {0}}
	for name, seqs := range sequences {
		l.Add("IDEM/sequence/"+name, "IDEM-04 IDEM-05 IDEM-07", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			p := kit.NewProducer(t, c, "")
			for i, seq := range seqs {
				diff.Do(c, fmt.Sprintf("step %d", i), 9, kit.Produce(topic, 0, kit.Values(t, "v").From(p, seq).Bytes()))
			}
			diff.Do(c, "two records at sequence 0", 9, kit.Produce(topic, 0, kit.Values(t, "v", "w").From(p, 0).Bytes()))
			diff.Do(c, "end", 5, kit.ListOffsets(topic, 0, -1))
		})
	}
	l.Add("IDEM/sequence/negative", "PROD-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, kit.Values(t, "v").From(kit.NewProducer(t, c, ""), -1).Bytes()))
	})
	l.Add("IDEM/epoch", "IDEM-06 IDEM-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, "")
		newer := kit.Producer{ID: p.ID, Epoch: p.Epoch + 2}
		diff.Do(c, "epoch 0", 9, kit.Produce(topic, 0, kit.Values(t, "a").From(p, 0).Bytes()))
		diff.Do(c, "epoch 2, sequence 3", 9, kit.Produce(topic, 0, kit.Values(t, "b").From(newer, 3).Bytes()))
		diff.Do(c, "epoch 2, sequence 0", 9, kit.Produce(topic, 0, kit.Values(t, "c").From(newer, 0).Bytes()))
		diff.Do(c, "epoch 0 again", 9, kit.Produce(topic, 0, kit.Values(t, "d").From(p, 1).Bytes()))
		diff.Do(c, "producers", 0, kit.DescribeProducers(topic.Name, 0))
	})
	l.Add("IDEM/unknown_producer", "IDEM-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, kit.Values(t, "v").From(kit.Producer{ID: 987654321, Epoch: 3}, 10).Bytes()))
		diff.Do(c, "next", 9, kit.Produce(topic, 0, kit.Values(t, "w").From(kit.Producer{ID: 987654321, Epoch: 3}, 11).Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("IDEM/partitions_are_independent", "IDEM-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		p := kit.NewProducer(t, c, "")
		diff.Do(c, "partition 0", 9, kit.Produce(topic, 0, kit.Values(t, "v").From(p, 0).Bytes()))
		diff.Do(c, "partition 1", 9, kit.Produce(topic, 1, kit.Values(t, "v").From(p, 0).Bytes()))
		diff.Do(c, "producers", 0, kit.DescribeProducers(topic.Name, 0, 1, 9))
	})
	l.Add("IDEM/acks_1", "IDEM-13", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Produce(topic, 0, kit.Values(t, "v").From(kit.NewProducer(t, c, ""), 0).Bytes())
		req.Acks = 1
		diff.Do(c, "produce", 9, req)
	})
	l.Add("IDEM/state_outlives_delete_records", "IDEM-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, "")
		kit.Fill(t, c, topic, 0, kit.Values(t, "a").From(p, 0), kit.Values(t, "b").From(p, 1))
		diff.Do(c, "delete records", 2, kit.DeleteRecords(topic, 0, -1))
		diff.Do(c, "duplicate", 9, kit.Produce(topic, 0, kit.Values(t, "b").From(p, 1).Bytes()))
		diff.Do(c, "next", 9, kit.Produce(topic, 0, kit.Values(t, "c").From(p, 2).Bytes()))
	})
}
