package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fewPartitions is up to how many partitions of a request are compared with each other; beyond it they are looked up in a map.
const fewPartitions = 16

// oneRowEach brings a request into the form that Kafka gives it: one entry of each topic and one of each of its partitions. Of a
// partition that is named more than once the last records count, in the place of the first; topics without partitions are left out.
func oneRowEach(req *kmsg.ProduceRequest) {
	if !mayRepeat(req.Topics) {
		return
	}
	type topicKey struct {
		name string
		id   cluster.TopicID
	}
	type rowKey struct{ topic, partition int }
	topics := req.Topics[:0]
	at := make(map[topicKey]int, len(req.Topics))
	rows := map[rowKey]int{}
	for _, t := range req.Topics {
		if len(t.Partitions) == 0 {
			continue
		}
		i, known := at[topicKey{t.Topic, t.TopicID}]
		if !known {
			i = len(topics)
			at[topicKey{t.Topic, t.TopicID}] = i
			kept := t
			kept.Partitions = nil
			topics = append(topics, kept)
		}
		for _, rp := range t.Partitions {
			k := rowKey{i, int(rp.Partition)}
			if j, twice := rows[k]; twice {
				topics[i].Partitions[j].Records = rp.Records
				continue
			}
			rows[k] = len(topics[i].Partitions)
			topics[i].Partitions = append(topics[i].Partitions, rp)
		}
	}
	req.Topics = topics
}

// mayRepeat says whether a topic or partition may be there twice, or a topic without partitions. It is exact for the small requests that
// producers usually send.
func mayRepeat(topics []kmsg.ProduceRequestTopic) bool {
	n := 0
	for i := range topics {
		t := &topics[i]
		if n += len(t.Partitions); len(t.Partitions) == 0 || n > fewPartitions {
			return true
		}
		for k := range i {
			if topics[k].TopicID == t.TopicID && topics[k].Topic == t.Topic {
				return true
			}
		}
		for a := range t.Partitions {
			for b := range a {
				if t.Partitions[a].Partition == t.Partitions[b].Partition {
					return true
				}
			}
		}
	}
	return false
}
