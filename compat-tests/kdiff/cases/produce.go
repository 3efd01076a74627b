package cases

import (
	"fmt"
	"strings"
	"time"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// produce covers appending and what is refused.
func produce(l *diff.List) {
	l.Each("PROD/append_and_read", "PROD-14 PROD-15 PROD-28 FETCH-15 FETCH-33", diff.Range(3, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "first", v, kit.Produce(topic, 0, kit.Pairs(t, "k1", "v1", "k2", "v2").Bytes()))
		diff.Do(c, "second", v, kit.Produce(topic, 0, kit.Values(t, "v3").Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Each("PROD/version_refused", "AV-03 PROD-03", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Try(c, "produce", v, kit.Produce(topic, 0, kit.OldMessage(int8(v/2), t.Base(), "old")))
		diff.Try(c, "metadata afterwards", 9, kit.Metadata())
	})
	for _, acks := range []int16{1, 2, -2} {
		l.Add(fmt.Sprintf("PROD/acks/%d", acks), "PROD-01", func(t *diff.T) {
			c := t.Dial()
			req := kit.Produce(kit.NewTopic(t, c, "t", 1), 0, kit.Values(t, "v").Bytes())
			req.Acks = acks
			diff.Try(c, "produce", 9, req)
		})
	}
	l.Each("PROD/missing_topic", "PROD-26 PROD-16", diff.Versions(3, 7, 8, 10, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "produce", v, kit.Produce(kit.Topic{Name: t.Name("missing")}, 0, kit.Values(t, "v").Bytes()))
		t.Sleep(200 * time.Millisecond)
		diff.Do(c, "not created", 9, kit.Metadata(t.Name("missing")))
	})
	l.Each("PROD/missing_partition", "PROD-26 PROD-16 PROD-29", diff.Versions(7, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Produce(topic, 0, kit.Values(t, "v").Bytes())
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kit.Produce(topic, 5, kit.Values(t, "w").Bytes()).Topics[0].Partitions[0])
		diff.Do(c, "produce", v, req)
	})
	l.Add("PROD/unknown_topic_id", "PROD-28", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Produce(topic, 0, kit.Values(t, "v").Bytes())
		req.Topics = append(req.Topics, kit.Produce(kit.Topic{ID: t.RawUUID("nobody")}, 0, kit.Values(t, "w").Bytes()).Topics[0])
		diff.Do(c, "produce", 13, req)
	})
	malformedBatches(l)
	badRecords(l)
	compression(l)
	timestamps(l)
	l.Add("PROD/internal_topic", "PROD-30", func(t *diff.T) {
		diff.Do(t.Dial(), "produce", 9, kit.Produce(kit.Topic{Name: "__consumer_offsets"}, 0, kit.Pairs(t, "k", "v").Bytes()))
	})
	l.Each("PROD/null_key_in_compacted_topic", "PROD-20 PROD-21 COMPACT-11", diff.Versions(7, 8, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "cleanup.policy=compact")
		b := kit.Pairs(t, "k1", "v1", "k2", "v2")
		b.Records[1].Key = nil
		diff.Do(c, "produce", v, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/larger_than_max_message_bytes", "PROD-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "max.message.bytes=1000")
		diff.Do(c, "too large", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 1000)).Bytes()))
		diff.Do(c, "compresses well", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 5000)).Compressed(kit.Gzip).Bytes()))
	})
	l.Add("PROD/exactly_max_message_bytes", "PROD-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "max.message.bytes=500")
		fits := 500 - len(kit.Values(t, "").Bytes()) - 2 // two lengths grow to two bytes each
		diff.Do(c, "fits", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", fits)).Bytes()))
		diff.Do(c, "one more", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", fits+1)).Bytes()))
	})
	l.Add("PROD/same_partition_twice", "PROD-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Produce(topic, 0, kit.Values(t, "v").Bytes())
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
		diff.Try(c, "produce", 9, req)
		diff.Do(c, "end", 5, kit.ListOffsets(topic, 0, -1))
	})
	l.Add("PROD/min_isr_not_met", "PROD-22 PROD-24", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "min.insync.replicas=2")
		diff.Do(c, "acks all", 9, kit.Produce(topic, 0, kit.Values(t, "v").Bytes()))
		req := kit.Produce(topic, 0, kit.Values(t, "w").Bytes())
		req.Acks = 1
		diff.Do(c, "acks 1", 9, req)
	})
	l.Add("PROD/headers", "PROD-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Pairs(t, "k", "v")
		b.Records[0].Headers = []kit.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}}
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/tombstone_and_empty_value", "PROD-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Pairs(t, "null", "", "empty", "")
		b.Records[0].Value = nil
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/pipelined_in_order", "PROD-31", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		a := diff.Start(c, "first", 9, kit.Produce(topic, 0, kit.Values(t, "a").Bytes()))
		b := diff.Start(c, "second", 9, kit.Produce(topic, 0, kit.Values(t, "b", "c").Bytes()))
		d := diff.Start(c, "third", 9, kit.Produce(topic, 0, kit.Values(t, "d").Bytes()))
		a.Wait()
		b.Wait()
		d.Wait()
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
}

// malformedBatches breaks the frame of a batch.
func malformedBatches(l *diff.List) {
	plain := func(t *diff.T) kit.Batch { return kit.Values(t, "one", "two") }
	batches := map[string]func(*diff.T) []byte{
		"null_records":  func(*diff.T) []byte { return nil },
		"empty_records": func(*diff.T) []byte { return []byte{} },
		"two_batches": func(t *diff.T) []byte {
			return append(plain(t).Bytes(), kit.Values(t, "three").Bytes()...)
		},
		"wrong_crc":       func(t *diff.T) []byte { b := plain(t); b.WrongCRC = true; return b.Bytes() },
		"length_too_long": func(t *diff.T) []byte { b := plain(t); b.LengthAdjustment = 5; return b.Bytes() },
		"length_too_short": func(t *diff.T) []byte {
			b := plain(t)
			b.LengthAdjustment = -3
			return b.Bytes()
		},
		"cut_short":            func(t *diff.T) []byte { b := plain(t).Bytes(); return b[:len(b)-4] },
		"magic_0":              func(t *diff.T) []byte { return kit.OldMessage(0, t.Base(), "old") },
		"magic_1":              func(t *diff.T) []byte { return kit.OldMessage(1, t.Base(), "old") },
		"magic_3":              func(t *diff.T) []byte { b := plain(t); b.Magic = new(int8(3)); return b.Bytes() },
		"count_zero":           func(t *diff.T) []byte { b := plain(t); b.Count = new(int32(0)); return b.Bytes() },
		"count_too_large":      func(t *diff.T) []byte { b := plain(t); b.Count = new(int32(3)); return b.Bytes() },
		"count_too_small":      func(t *diff.T) []byte { b := plain(t); b.Count = new(int32(1)); return b.Bytes() },
		"last_delta_wrong":     func(t *diff.T) []byte { b := plain(t); b.LastOffsetDelta = new(int32(5)); return b.Bytes() },
		"base_offset_not_zero": func(t *diff.T) []byte { b := plain(t); b.BaseOffset = 42; return b.Bytes() },
		"control_batch":        func(t *diff.T) []byte { b := plain(t); b.Attributes = kit.ControlBit; return b.Bytes() },
		"no_records_in_batch": func(t *diff.T) []byte {
			b := kit.Values(t)
			return b.Bytes()
		},
	}
	for name, records := range batches {
		l.Each("PROD/batch/"+name, "PROD-03 PROD-04 PROD-07 PROD-08 PROD-10 PROD-21", diff.Versions(7, 9), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			diff.Try(c, "produce", v, kit.Produce(topic, 0, records(t)))
			diff.Do(t.Dial(), "fetch", 12, kit.Fetch(topic, 0, 0))
		})
	}
}

// badRecords breaks the inside of a batch whose frame is right.
func badRecords(l *diff.List) {
	batches := map[string]func(*diff.T) kit.Batch{
		"offset_deltas_wrong": func(t *diff.T) kit.Batch {
			b := kit.Values(t, "one", "two")
			b.Records[1].OffsetDelta = new(int64(7))
			return b
		},
		"garbage": func(t *diff.T) kit.Batch {
			b := kit.Values(t, "one")
			b.RawRecords = []byte{0x7f, 1, 2, 3}
			return b
		},
		"bytes_after_the_records": func(t *diff.T) kit.Batch {
			b := kit.Values(t, "one", "two")
			b.Count, b.LastOffsetDelta = new(int32(1)), new(int32(0))
			return b
		},
	}
	for name, batch := range batches {
		for codec, label := range map[int]string{kit.None: "plain", kit.Gzip: "gzip"} {
			l.Add("PROD/records/"+name+"/"+label, "PROD-12 PROD-07", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1)
				diff.Try(c, "produce", 9, kit.Produce(topic, 0, batch(t).Compressed(codec).Bytes()))
				diff.Do(t.Dial(), "fetch", 12, kit.Fetch(topic, 0, 0))
			})
		}
	}
	l.Add("PROD/records/not_compressed_as_said", "PROD-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "one")
		b.Attributes = kit.Gzip
		diff.Try(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(t.Dial(), "fetch", 12, kit.Fetch(topic, 0, 0))
	})
}

var codecs = map[string]int{"gzip": kit.Gzip, "snappy": kit.Snappy, "lz4": kit.LZ4, "zstd": kit.Zstd}

func compression(l *diff.List) {
	for name, codec := range codecs {
		l.Each("PROD/compressed/"+name, "PROD-12 PROD-13", diff.Versions(7, 12), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			diff.Do(c, "produce", v, kit.Produce(topic, 0, kit.Pairs(t, "a", strings.Repeat("x", 300), "b", "y").Compressed(codec).Bytes()))
			diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
		})
		l.Add("PROD/recompressed_to/"+name, "PROD-32", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "compression.type="+name)
			diff.Do(c, "produce", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 300), "y").Bytes()))
			diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
		})
	}
	l.Each("PROD/zstd_below_v7", "PROD-11", diff.Versions(3, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Try(c, "produce", v, kit.Produce(topic, 0, kit.Values(t, "x").Compressed(kit.Zstd).Bytes()))
	})
	l.Add("PROD/decompressed_by_topic", "PROD-32", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "compression.type=uncompressed")
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, kit.Values(t, "x", "y").Compressed(kit.LZ4).Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/codec_unknown", "PROD-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x")
		b.Attributes = 6
		diff.Try(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
	})
}

func timestamps(l *diff.List) {
	l.Each("PROD/log_append_time", "PROD-19 PROD-15", diff.Versions(7, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "message.timestamp.type=LogAppendTime")
		diff.Do(c, "produce", v, kit.Produce(topic, 0, kit.Values(t, "x", "y").Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/log_append_time_bit_from_client", "PROD-17", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x")
		b.Attributes = kit.LogAppendTimeBit
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
	})
	l.Each("PROD/timestamp_too_old", "PROD-18 PROD-21", diff.Versions(7, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "message.timestamp.before.max.ms=60000")
		diff.Do(c, "produce", v, kit.Produce(topic, 0, kit.Values(t, "x", "y").Bytes()))
	})
	l.Add("PROD/timestamp_too_new", "PROD-18 PROD-21", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x", "y")
		b.Timestamp = t.Now()
		b.Records[1].Timestamp = 2 * time.Hour.Milliseconds()
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
	})
	l.Add("PROD/timestamp_minus_one", "PROD-18", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x")
		b.Timestamp = -1
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
	l.Add("PROD/max_timestamp_wrong", "PROD-14", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		b := kit.Values(t, "x", "y")
		b.MaxTimestamp = new(t.Base() + 500)
		diff.Do(c, "produce", 9, kit.Produce(topic, 0, b.Bytes()))
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 0, 0))
	})
}
