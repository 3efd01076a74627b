package cluster

import (
	"errors"
	"io"
	"slices"

	"github.com/kbroker/kbroker/storage"
)

// AppendRecords appends the bytes of what a read found to dst, and releases the read. It is for those who look into the
// records; whoever sends them on sends the chunks.
func AppendRecords(dst []byte, r storage.Records) ([]byte, error) {
	defer r.Release()
	dst = slices.Grow(dst, int(r.Bytes))
	for _, c := range r.Chunks {
		if c.Bytes != nil {
			dst = append(dst, c.Bytes...)
			continue
		}
		at := len(dst)
		dst = dst[:at+int(c.N)]
		if n, err := c.File.ReadAt(dst[at:], c.Off); n < int(c.N) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return dst, nil
}
