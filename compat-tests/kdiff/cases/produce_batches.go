package cases

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// addProduce adds a partition to a Produce.
func addProduce(req *kmsg.ProduceRequest, topic kit.Topic, partition int32, records []byte) {
	more := kit.Produce(topic, partition, records).Topics[0]
	for i := range req.Topics {
		if req.Topics[i].Topic == topic.Name {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, more.Partitions...)
			return
		}
	}
	req.Topics = append(req.Topics, more)
}

// produceBatches covers what a batch may hold beside plain records, and requests with several partitions.
func produceBatches(l *diff.List) {
	l.Each("PROD/several_partitions_mixed", "PROD-29 PROD-21", diff.Range(3, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic, compacted := kit.NewTopic(t, c, "t", 3), kit.NewTopic(t, c, "c", 1, "cleanup.policy=compact")
		req := kit.Produce(topic, 0, kit.Values(t, "good").Bytes())
		wrong := kit.Values(t, "bad")
		wrong.WrongCRC = true
		addProduce(req, topic, 1, wrong.Bytes())
		addProduce(req, topic, 2, kit.Values(t, "also good").Bytes())
		addProduce(req, topic, 9, kit.Values(t, "nowhere").Bytes())
		addProduce(req, compacted, 0, kit.Values(t, "no key", "nor here").Bytes())
		addProduce(req, kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0, kit.Values(t, "x").Bytes())
		diff.Do(c, "produce", v, req)
		fetch := kit.Fetch(topic, 0, 0)
		kit.AddFetch(fetch, topic, 1, 0)
		kit.AddFetch(fetch, topic, 2, 0)
		diff.Do(c, "fetch", 12, fetch)
	})
	l.Each("PROD/no_topics", "PROD-29", diff.Versions(3, 9, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.Produce(kit.NewTopic(t, c, "t", 1), 0, nil)
		req.Topics = nil
		diff.Try(c, "produce", v, req)
	})
	l.Each("PROD/topic_without_partitions", "PROD-29", diff.Versions(8, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.Produce(kit.NewTopic(t, c, "t", 1), 0, nil)
		req.Topics[0].Partitions = nil
		diff.Try(c, "produce", v, req)
	})
	l.Each("PROD/same_topic_listed_twice", "PROD-29", diff.Versions(8, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kit.Produce(topic, 0, kit.Values(t, "a").Bytes())
		req.Topics = append(req.Topics, kit.Produce(topic, 1, kit.Values(t, "b").Bytes()).Topics[0])
		diff.Try(c, "produce", v, req)
	})
	l.Each("PROD/acks_zero", "PROD-02", diff.Versions(3, 9, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Produce(topic, 0, kit.Values(t, "a").Bytes())
		req.Acks = 0
		t.Quiet(func() { diff.Start(c, "silent", v, req) })
		t.Until("appended", 5*time.Second, func() bool {
			return diff.Do(t.Dial(), "end", 5, kit.ListOffsets(topic, 0, -1)).Topics[0].Partitions[0].Offset == 1
		})
		diff.Do(t.Dial(), "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	for _, acks := range []int16{0, 1} {
		l.Add(fmt.Sprintf("PROD/refused_with_acks_%d", acks), "PROD-02", func(t *diff.T) {
			c := t.Dial()
			wrong := kit.Values(t, "bad")
			wrong.WrongCRC = true
			req := kit.Produce(kit.NewTopic(t, c, "t", 1), 0, wrong.Bytes())
			req.Acks = acks
			diff.Try(c, "produce", 9, req)
		})
	}
	headers := map[string][]kit.Header{
		"one":        {{Key: "k", Value: []byte("v")}},
		"same_key":   {{Key: "k", Value: []byte("1")}, {Key: "k", Value: []byte("2")}},
		"null_value": {{Key: "k"}},
		"empty_key":  {{Key: "", Value: []byte("v")}},
		"large":      {{Key: strings.Repeat("k", 300), Value: []byte(strings.Repeat("v", 3000))}},
		"bad_utf8":   {{Key: "\xff\xfe", Value: []byte{0, 1}}},
	}
	for name, hs := range headers {
		for codec, label := range map[int]string{kit.None: "plain", kit.Zstd: "zstd"} {
			l.Add("PROD/headers_of_records/"+name+"/"+label, "PROD-12", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1)
				b := kit.Pairs(t, "a", "1", "b", "2").Compressed(codec)
				b.Records[0].Headers, b.Records[1].Headers = hs, hs
				diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
			})
		}
	}
	recompression(l)
	moreTimestamps(l)
	sizeLimits(l)
	brokenRecords(l)
}

// recompression sends every codec to topics of every compression.type.
func recompression(l *diff.List) {
	types := []string{"uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"}
	for name, codec := range map[string]int{"plain": kit.None, "gzip": kit.Gzip, "snappy": kit.Snappy, "lz4": kit.LZ4, "zstd": kit.Zstd} {
		for _, kind := range types {
			l.Add("PROD/recompressed/"+name+"_to_"+kind, "PROD-32", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1, "compression.type="+kind)
				b := kit.Pairs(t, "a", strings.Repeat("x", 500), "b", "").Compressed(codec)
				b.Records[1].Value = nil
				b.Records[0].Headers = []kit.Header{{Key: "h", Value: []byte("1")}}
				diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "again", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
				diff.Do(c, "inside", 12, kit.Fetch(topic, 0, 3))
			})
			l.Add("PROD/recompressed_idempotent/"+name+"_to_"+kind, "PROD-32 IDEM-03", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1, "compression.type="+kind, "message.timestamp.type=LogAppendTime")
				p := kit.NewProducer(t, c, "")
				b := kit.Pairs(t, "a", strings.Repeat("x", 500), "b", "y").Compressed(codec).From(p, 0)
				diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "duplicate", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
			})
		}
	}
	l.Add("PROD/recompressed_base_offset", "PROD-32 PROD-10", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "compression.type=gzip")
		b := kit.Values(t, "x")
		b.Records[0].OffsetDelta = new(int64(3))
		diff.Do(c, "wrong delta", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
}

func moreTimestamps(l *diff.List) {
	l.Each("PROD/timestamp_too_new_within_batch", "PROD-18 PROD-21", diff.Versions(7, 8, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x", "y", "z")
		b.Timestamp = t.Now()
		b.Records[0].Timestamp, b.Records[2].Timestamp = 3*time.Hour.Milliseconds(), 2*time.Hour.Milliseconds()
		diff.Do(c, "plain", v, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "gzip", v, kit.Produce(topic, 0, b.Compressed(kit.Gzip).Bytes()))
		diff.Do(c, "good afterwards", v, kit.Produce(topic, 0, kit.Values(t, "x").Bytes()))
	})
	l.Add("PROD/timestamps_out_of_order", "PROD-14 LOFF-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x", "y", "z")
		b.Records[0].Timestamp, b.Records[1].Timestamp, b.Records[2].Timestamp = 50, -20, 10
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
		for _, at := range []int64{-20, 0, 10, 11, 50, 51} {
			diff.Do(c, fmt.Sprintf("base%+d", at), 7, kit.ListOffsets(topic, 0, t.Base()+at))
		}
		diff.Do(c, "max", 7, kit.ListOffsets(topic, 0, -3))
	})
	for name, codec := range map[string]int{"plain": kit.None, "gzip": kit.Gzip} {
		for what, at := range map[string]int64{"minus_two": -2, "zero": 0, "min": -1 << 62} {
			l.Add("PROD/odd_timestamp/"+what+"/"+name, "PROD-18", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1)
				b := kit.Values(t, "x").Compressed(codec)
				b.Timestamp = at
				diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
				diff.Do(c, "max", 7, kit.ListOffsets(topic, 0, -3))
			})
		}
		l.Add("PROD/log_append_time_ignores_limits/"+name, "PROD-18 PROD-19", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "message.timestamp.type=LogAppendTime", "message.timestamp.before.max.ms=1000")
			b := kit.Values(t, "x", "y").Compressed(codec)
			diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
			b.Attributes |= kit.LogAppendTimeBit
			diff.Do(c, "with the bit", 9, kit.Produce(topic, 0, b.Bytes()))
			diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
		})
		l.Add("PROD/max_timestamp_wrong_in_batch/"+name, "PROD-14", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			b := kit.Values(t, "x", "y").Compressed(codec)
			b.MaxTimestamp = new(t.Base() - 100)
			diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
			diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
			diff.Do(c, "by time", 7, kit.ListOffsets(topic, 0, t.Base()+1))
			diff.Do(c, "max", 7, kit.ListOffsets(topic, 0, -3))
		})
	}
}

func sizeLimits(l *diff.List) {
	l.Add("PROD/larger_than_segment", "PROD-06", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "internal.segment.bytes=1000")
		diff.Do(c, "too large", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 1000)).Bytes()))
		fits := 1000 - len(kit.Values(t, "").Bytes()) - 2
		diff.Do(c, "fits", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", fits)).Bytes()))
		diff.Do(c, "one more", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", fits+1)).Bytes()))
	})
	for name, codec := range codecs {
		l.Add("PROD/recompressed_too_large/"+name, "PROD-05 PROD-32", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "max.message.bytes=1000", "compression.type=uncompressed")
			diff.Do(c, "grows", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 5000)).Compressed(codec).Bytes()))
			topic = kit.NewTopic(t, c, "u", 1, "max.message.bytes=1000", "compression.type="+name)
			diff.Do(c, "shrinks", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 5000)).Bytes()))
		})
		l.Add("PROD/decompressed_limit/"+name, "PROD-33", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "max.decompressed.message.bytes=2000")
			diff.Do(c, "beyond", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 5000)).Compressed(codec).Bytes()))
			diff.Do(c, "below", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 1500)).Compressed(codec).Bytes()))
			diff.Do(c, "plain", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 5000)).Bytes()))
		})
	}
	l.Add("PROD/many_records", "PROD-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, make([]string, 3000)...)
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "end", 5, kit.ListOffsets(topic, 0, -1))
	})
}

// brokenRecords breaks one record of a batch, in plain and compressed batches.
func brokenRecords(l *diff.List) {
	plain := func(t *diff.T) []byte { return rawRecords(t, "one", "two") }
	cut := func(n int) func(*diff.T) []byte {
		return func(t *diff.T) []byte { b := plain(t); return b[:len(b)-n] }
	}
	changes := map[string]func(*diff.T) []byte{
		"cut_by_1": cut(1), "cut_by_9": cut(9),
		"second_missing":  func(t *diff.T) []byte { b := plain(t); return b[:1+int(b[0])/2] },
		"length_too_long": func(t *diff.T) []byte { b := plain(t); b[0] += 2; return b },
		"length_negative": func(t *diff.T) []byte { b := plain(t); b[0] = 1; return b },
		"extra_bytes":     func(t *diff.T) []byte { return append(plain(t), 0, 0) },
		"empty":           func(*diff.T) []byte { return []byte{} },
		"key_too_long":    func(t *diff.T) []byte { b := plain(t); b[4] = 60; return b },
		"key_minus_two":   func(t *diff.T) []byte { b := plain(t); b[4] = 3; return b },
		"value_too_long":  func(t *diff.T) []byte { b := plain(t); b[5] = 60; return b },
		"headers_negative": func(t *diff.T) []byte {
			b := plain(t)
			b[int(b[0])/2] = 1
			return b
		},
		"headers_missing": func(t *diff.T) []byte {
			b := plain(t)
			b[int(b[0])/2] = 4
			return b
		},
		"attributes_set": func(t *diff.T) []byte { b := plain(t); b[1] = 0x55; return b },
	}
	for name, records := range changes {
		for codec, label := range map[int]string{kit.None: "plain", kit.Gzip: "gzip"} {
			l.Add("PROD/broken_record/"+name+"/"+label, "PROD-12 PROD-07", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1)
				b := kit.Values(t, "one", "two").Compressed(codec)
				b.RawRecords = records(t)
				diff.Try(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
				diff.Do(t.Dial(), "end", 5, kit.ListOffsets(topic, 0, -1))
			})
		}
	}
	for name, codec := range codecs {
		l.Add("PROD/payload_cut/"+name, "PROD-12", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			whole := kit.Compress(rawRecords(t, strings.Repeat("one", 50), "two"), codec)
			b := kit.Values(t, "one", "two")
			b.Attributes, b.RawRecords = uint16(codec), whole[:len(whole)/2]
			diff.Try(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
			diff.Do(t.Dial(), "end", 5, kit.ListOffsets(topic, 0, -1))
		})
	}
}

// rawRecords are the records of a batch without its header.
func rawRecords(t *diff.T, values ...string) []byte {
	const header = 61
	return kit.Values(t, values...).Bytes()[header:]
}
