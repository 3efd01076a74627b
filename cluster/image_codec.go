package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The format of a stored image: snapshotMagic, the CRC-32C of all that follows (4 bytes, big endian), the image's Index
// (uvarint), then the records that make it (Image.Records) as one batch.
const snapshotMagic = "kbimg1\r\n"

var (
	errBadSnapshot = errors.New("metadata snapshot can't be decoded")
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
)

// EncodeSnapshot gives the image as bytes, always the same ones for the same image.
func (i *Image) EncodeSnapshot() []byte {
	b := append([]byte(snapshotMagic), 0, 0, 0, 0)
	b = binary.AppendUvarint(b, i.Index)
	b = EncodeRecords(b, i.Records())
	crc := len(snapshotMagic)
	binary.BigEndian.PutUint32(b[crc:], crc32.Checksum(b[crc+4:], castagnoli))
	return b
}

// DecodeSnapshot is EncodeSnapshot's inverse; whatever the bytes, it gives an image or an error.
func DecodeSnapshot(b []byte) (*Image, error) {
	header := len(snapshotMagic) + 4
	if len(b) < header || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: it doesn't begin as one", errBadSnapshot)
	}
	body := b[header:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[header-4:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errBadSnapshot)
	}
	index, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, fmt.Errorf("%w: bad index", errBadSnapshot)
	}
	records, err := DecodeRecords(body[n:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadSnapshot, err)
	}
	img, _, err := (&Image{}).Apply(index, records)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadSnapshot, err)
	}
	return img, nil
}
