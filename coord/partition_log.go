package coord

import (
	"errors"
	"fmt"
	"io"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
)

// Partition is what a shard's log needs of *cluster.Partition.
type Partition interface {
	Append(r cluster.AppendRequest) (storage.AppendInfo, error)
	AwaitCommitted(offset int64, done func(error)) (already bool, withdraw func())
	Read(r cluster.ReadRequest) (cluster.ReadResult, error)
	Offsets() (logStart, highWatermark, lastStable int64)
	LogEndOffset() int64
}

// PartitionLog makes a partition that this broker leads a Log. maxBatchBytes gives the topic's current max.message.bytes.
func PartitionLog(p Partition, maxBatchBytes func() int) Log { return &partitionLog{p, maxBatchBytes} }

type partitionLog struct {
	p             Partition
	maxBatchBytes func() int
}

func (l *partitionLog) LogStartOffset() (int64, error) {
	start, _, _ := l.p.Offsets()
	return start, nil
}

func (l *partitionLog) LogEndOffset() (int64, error) { return l.p.LogEndOffset(), nil }

func (l *partitionLog) HighWatermark() int64 {
	_, highWatermark, _ := l.p.Offsets()
	return highWatermark
}

func (l *partitionLog) MaxBatchBytes() int { return l.maxBatchBytes() }

func (l *partitionLog) Append(b []byte) (int64, error) {
	info, err := l.p.Append(cluster.AppendRequest{Records: b, Acks: -1, Origin: storage.OriginCoordinator, AllowZstd: true})
	return info.LastOffset, err
}

func (l *partitionLog) AwaitCommitted(offset int64, done func(error)) (bool, func()) {
	return l.p.AwaitCommitted(offset, done)
}

func (l *partitionLog) Read(offset int64, maxBytes int) ([]byte, error) {
	r, err := l.p.Read(cluster.ReadRequest{
		Offset: offset, MaxBytes: int64(maxBytes), AtLeastOne: true,
		CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ToLogEnd: true,
	})
	if err != nil {
		return nil, err
	}
	defer r.Records.Release()
	b := make([]byte, 0, r.Records.Bytes)
	for _, c := range r.Records.Chunks {
		if c.Bytes != nil {
			b = append(b, c.Bytes...)
			continue
		}
		at := len(b)
		b = append(b, make([]byte, c.N)...)
		if n, err := c.File.ReadAt(b[at:], c.Off); int64(n) < c.N {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("reading the log: %w", err)
		}
	}
	return b, nil
}
