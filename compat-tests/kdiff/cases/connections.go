package cases

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// connections covers framing, headers and ordering on one connection.
func connections(l *diff.List) {
	for name, size := range map[string]int32{"zero": 0, "minus_one": -1, "over_limit": 104857601} {
		l.Add("CONN/size_"+name, "CONN-05", func(t *diff.T) {
			c := t.Dial()
			c.SendRaw(binary.BigEndian.AppendUint32(nil, uint32(size)))
			c.Closed("after the size")
		})
	}
	l.Add("CONN/http_request", "CONN-05", func(t *diff.T) {
		c := t.Dial()
		c.SendRaw([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		c.Closed("after GET")
	})
	l.Add("CONN/frame_shorter_than_a_header", "CONN-05 CONN-07", func(t *diff.T) {
		c := t.Dial()
		c.SendFrame([]byte{0, 3})
		c.Closed("after two bytes")
	})
	for _, key := range []int16{4, 5, 6, 7, 52, 53, 58, 62, 93, 999} {
		l.Add(fmt.Sprintf("CONN/key_not_served/%d", key), "CONN-06 AV-02", func(t *diff.T) {
			c := t.Dial()
			c.SendHead(key, 0, false, 0, 0, 0, 0)
			c.Closed("after the request")
		})
	}
	versionsNotServed(l)
	l.Add("CONN/truncated_body", "CONN-07", func(t *diff.T) {
		c := t.Dial()
		c.SendHead(3, 4, false, 0, 0, 0, 1, 0, 9, 't') // a topic name of 9 bytes, one there
		c.Closed("after the request")
	})
	l.Add("CONN/bytes_after_the_body", "CONN-07", func(t *diff.T) {
		c := t.Dial()
		c.SendHead(3, 1, false, 0, 0, 0, 0, 'x', 'y', 'z')
		c.Silent("the answer", time.Second)
	})
	l.Add("CONN/array_of_a_million_in_few_bytes", "CONN-13", func(t *diff.T) {
		c := t.Dial()
		c.SendHead(3, 1, false, 0, 15, 66, 65)
		c.Closed("after the request")
	})
	l.Add("CONN/null_string_where_none_may_be", "CONN-07 CONN-12", func(t *diff.T) {
		c := t.Dial()
		c.SendHead(10, 0, false, 0xff, 0xff) // FindCoordinator with a null key
		c.Closed("after the request")
	})
	l.Add("CONN/client_id_null", "CONN-04", func(t *diff.T) {
		c := t.Dial()
		c.ClientID = nil
		diff.Do(c, "metadata", 9, kit.Metadata())
		diff.Do(c, "metadata old", 1, kit.Metadata())
	})
	l.Add("CONN/client_id_empty", "CONN-04", func(t *diff.T) {
		c := t.Dial()
		c.ClientID = new("")
		diff.Do(c, "metadata", 12, kit.Metadata())
	})
	l.Add("CONN/correlation_ids", "CONN-01", func(t *diff.T) {
		c := t.Dial()
		for _, id := range []int32{0, -1, 2147483647, -2147483648} {
			c.SetCorrelation(id)
			diff.Do(c, fmt.Sprintf("correlation %d", id), 9, kit.Metadata())
		}
	})
	l.Add("CONN/unknown_header_tags", "CONN-11", func(t *diff.T) {
		c := t.Dial()
		diff.Start(c, "metadata", 9, kit.Metadata(), diff.HeaderTag{Key: 77, Value: []byte("seventy-seven")}).Wait()
	})
	l.Add("CONN/unknown_body_tags", "CONN-11", func(t *diff.T) {
		c := t.Dial()
		req := kit.FindCoordinator(0, t.Name("g"))
		req.UnknownTags.Set(9000, []byte("a field of the future"))
		diff.Do(c, "find coordinator", 4, req)
	})
	l.Add("CONN/pipelined_answers_in_order", "CONN-08 CONN-09", func(t *diff.T) {
		c := t.Dial()
		a := diff.Start(c, "first", 9, kit.Metadata())
		b := diff.Start(c, "second", 2, kmsg.NewPtrApiVersionsRequest())
		d := diff.Start(c, "third", 0, kmsg.NewPtrListPartitionReassignmentsRequest())
		e := diff.Start(c, "fourth", 1, kit.Metadata(t.Name("missing")))
		a.Wait()
		b.Wait()
		d.Wait(diff.Ignore("other cases may reassign", "Topics"))
		e.Wait()
	})
	l.Add("CONN/parked_fetch_holds_back_its_connection_only", "CONN-08 CONN-10", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		fetch := kit.Fetch(topic, 0, 0)
		fetch.MaxWaitMillis = 1500
		parked := diff.Start(c, "parked fetch", 12, fetch)
		behind := diff.Start(c, "behind it", 9, kit.Metadata())
		c.Silent("nothing yet", 500*time.Millisecond)
		diff.Do(other, "other connection", 9, kit.Metadata(), diff.Waits(time.Second))
		parked.Wait(diff.Waits(1500 * time.Millisecond))
		behind.Wait()
	})
	l.Add("CONN/request_in_single_bytes", "CONN-01", func(t *diff.T) {
		c := t.Dial()
		frame := diff.AppendHeader(nil, 18, 0, 7, c.ClientID, false)
		frame = append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
		for i := range frame {
			c.SendRaw(frame[i : i+1])
		}
		c.Silent("the answer", 2*time.Second)
	})
	l.Add("CONN/acks_0_is_silent", "CONN-17", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		silent := kit.Produce(topic, 0, kit.Values(t, "a").Bytes())
		silent.Acks = 0
		diff.Start(c, "produce", 7, silent)
		diff.Do(c, "the next answer", 9, kit.Metadata())
		t.Until("written", 5*time.Second, func() bool {
			return diff.Do(c, "end", 1, kit.ListOffsets(topic, 0, -1)).Topics[0].Partitions[0].Offset == 1
		})
	})
	l.Add("CONN/acks_0_error_closes", "PROD-02", func(t *diff.T) {
		c := t.Dial()
		req := kit.Produce(kit.Topic{Name: t.Name("missing")}, 0, kit.Values(t, "a").Bytes())
		req.Acks = 0
		diff.Start(c, "produce", 9, req)
		c.Closed("after the request")
	})
}

// versionsNotServed asks every API for the versions next to its range.
func versionsNotServed(l *diff.List) {
	below := map[string][2]int16{
		"Fetch": {1, 3}, "ListOffsets": {2, 0}, "OffsetCommit": {8, 1}, "OffsetFetch": {9, 0}, "CreateTopics": {19, 1},
		"OffsetForLeaderEpoch": {23, 1}, "DescribeConfigs": {32, 0}, "ShareFetch": {78, 0},
	}
	for name, at := range below {
		l.Add("CONN/version_below/"+name, "CONN-06", func(t *diff.T) {
			c := t.Dial()
			c.SendHead(at[0], at[1], false, make([]byte, 64)...)
			c.Closed("after the request")
		})
	}
	above := map[string][2]int16{
		"Produce": {0, 14}, "Metadata": {3, 14}, "FindCoordinator": {10, 7}, "JoinGroup": {11, 10}, "Heartbeat": {12, 5},
		"DescribeGroups": {15, 7}, "DeleteTopics": {20, 7}, "InitProducerId": {22, 6}, "EndTxn": {26, 6},
		"TxnOffsetCommit": {28, 6}, "DescribeConfigs": {32, 5}, "CreatePartitions": {37, 4}, "DeleteGroups": {42, 3},
		"DescribeCluster": {60, 3}, "ConsumerGroupHeartbeat": {68, 2},
	}
	for name, at := range above {
		l.Add("CONN/version_above/"+name, "CONN-06", func(t *diff.T) {
			c := t.Dial()
			c.SendHead(at[0], at[1], true, make([]byte, 64)...)
			c.Closed("after the request")
		})
	}
}
