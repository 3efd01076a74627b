package storage

import (
	"math"

	"github.com/kbroker/kbroker/storage/batch"
)

// LogConfig is what a topic's settings mean for its logs. A log takes a new one at any time (LOG-15).
type LogConfig struct {
	SegmentBytes        int   // segment.bytes
	SegmentMillis       int64 // segment.ms
	SegmentJitterMillis int64 // segment.jitter.ms
	SegmentIndexBytes   int   // segment.index.bytes
	IndexIntervalBytes  int   // index.interval.bytes
	RetentionMillis     int64 // retention.ms; -1 is for ever
	RetentionBytes      int64 // retention.bytes; -1 is without end
	Delete, Compact     bool  // cleanup.policy
	MaxMessageBytes     int   // max.message.bytes

	// TargetCodec is compression.type: batch.Producer keeps batches as the client compressed them.
	TargetCodec batch.Codec
	GzipLevel   int // compression.gzip.level
	LZ4Level    int // compression.lz4.level
	ZstdLevel   int // compression.zstd.level

	TimestampType         batch.TimestampType
	TimestampBeforeMillis int64 // message.timestamp.before.max.ms
	TimestampAfterMillis  int64 // message.timestamp.after.max.ms
	FileDeleteDelayMillis int64 // file.delete.delay.ms
	FlushMessages         int64 // flush.messages
	FlushMillis           int64 // flush.ms
	MaxDecompressedBytes  int   // max.decompressed.message.bytes
	// Preallocate is stored and shown only: files grow by what is written, whatever it says.
	Preallocate bool
}

// DefaultLogConfig is Kafka's defaults.
func DefaultLogConfig() LogConfig {
	return LogConfig{
		SegmentBytes:          1 << 30,
		SegmentMillis:         7 * 24 * 3600 * 1000,
		SegmentIndexBytes:     10 << 20,
		IndexIntervalBytes:    4096,
		RetentionMillis:       7 * 24 * 3600 * 1000,
		RetentionBytes:        -1,
		Delete:                true,
		MaxMessageBytes:       1048588,
		TargetCodec:           batch.Producer,
		GzipLevel:             -1,
		LZ4Level:              9,
		ZstdLevel:             3,
		TimestampType:         batch.CreateTime,
		TimestampBeforeMillis: math.MaxInt64,
		TimestampAfterMillis:  3600 * 1000,
		FileDeleteDelayMillis: 60 * 1000,
		FlushMessages:         math.MaxInt64,
		FlushMillis:           math.MaxInt64,
		MaxDecompressedBytes:  math.MaxInt32 - 8,
	}
}
