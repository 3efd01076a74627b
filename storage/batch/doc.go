// Package batch knows Kafka's record batches of magic 2: their header, checksum, records, compression, and the rules by which
// a leader accepts one (Kafka's DefaultRecordBatch, DefaultRecord and LogValidator).
//
// # Format
//
// All integers are big-endian. A batch is a header of 61 bytes and its records:
//
//	 0  base offset            int64
//	 8  length                 int32   bytes that follow this field
//	12  partition leader epoch int32
//	16  magic                  int8    2
//	17  CRC-32C                uint32  of everything from the attributes on
//	21  attributes             int16   bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23  last offset delta      int32
//	27  base timestamp         int64   ms; the delete horizon where bit 6 is set
//	35  max timestamp          int64   ms
//	43  producer id            int64   -1: none
//	51  producer epoch         int16
//	53  base sequence          int32
//	57  number of records      int32
//	61  records                compressed as one block where the codec says so
//
// A record is a varint of its length, then attributes int8, timestamp delta varlong, offset delta varint, key and value (varint
// of the length, -1 for null, and bytes), a varint of the number of headers, and each header's key and value likewise. Varints
// are zig-zag encoded. Base offset and leader epoch lie outside the checksum, so that a leader sets them in place.
//
// # Invariants
//
// Nothing here has state of its own but pools of decompressors and buffers; all functions may be called from any goroutine, and
// change no byte of a batch unless their name or comment says so. Memory and time are bounded: decompression stops at a limit
// that the caller names (see DecompressedLimit), and memory grows with what was really produced, not with what a header declares.
//
// Left out on purpose: magic 0 and 1, which Kafka 4 no longer takes in or writes.
package batch
