// Package storage is the segmented log: one Log for each partition, and a Manager for the data directories that they lie in.
//
// # Files
//
// All formats are Kafka's, byte for byte; kafka-dump-log.sh reads and verifies them. A partition is the folder <topic>-<partition>/ of
// a data directory. The names of its files begin with the offset that they begin at, in 20 digits:
//
//	.log        record batches of magic 2, one behind the other; no more than segment.bytes
//	.index      8-byte entries: last offset of a batch, less the base, int32; where it begins, int32. One for each
//	            index.interval.bytes of .log
//	.timeindex  12-byte entries: largest timestamp so far int64; last offset of its batch, less the base, int32. Both rise
//	.txnindex   34-byte entries, one for each aborted transaction whose marker is in the segment: version int16 = 0, producer id,
//	            first offset, last offset, last stable offset, all int64
//	.snapshot   the producers as they were at that offset: version int16 = 1, CRC-32C uint32, number of entries int32, entries of
//	            46 bytes (producer id int64, epoch int16, last sequence int32, last offset int64, offset delta int32, timestamp int64,
//	            coordinator epoch int32, first offset of the open transaction int64). Kafka has one entry for each producer, its last
//	            batch. We write the up to five batches of the window, oldest first: Kafka's reader keeps the last one, ours all
//	.deleted    behind one of the above: taken out of the log, waits file.delete.delay.ms for its removal
//
// leader-epoch-checkpoint and partition.metadata stand beside them; meta.properties, .lock, .kafka_cleanshutdown and the checkpoint files
// (recovery-point-, log-start-, replication- and cleaner-offset-checkpoint) in the data directory.
//
// # Who may do what
//
// The .log is the truth. Everything else is a cache of it, and is made anew where it is missing, short or wrong. (Two exceptions: a log start
// that DeleteRecords moved stands in its checkpoint only, and a .txnindex that is missing can't be told from a segment without aborted
// transactions.)
//
// A Log has no goroutine, no clock and no randomness: time is handed in. One mutex orders its appends and everything else that
// changes it; a second one, which is taken first, orders syncs and truncations and is the only one that a Sync holds across its fsync (a
// truncation holds both: what it cut off has to be gone for good before anything is appended). Readers
// load an immutable view and take no lock. Open files are counted by their readers: a segment that is deleted while it is
// read closes its files with its last reader. Files are opened when they are needed and bounded in number for all logs together, so that
// an idle partition costs some kilobytes and no descriptor.
//
// # Appending
//
// All that can fail is done before the batch is written: its validation, a roll, room in the indexes' tails. Then comes one write, and after
// it only what can't fail. Index entries of the active segment are kept in memory, some hundred at most, and written together.
// The first failed write or sync stops the log for good (ErrStorage): what was written may or may not be there, and only a
// start that reads it again can tell. A spent memory budget (ErrMemoryBudget) stops nothing and leaves nothing behind.
//
// # Starting
//
// After a clean stop a log reads its folder's list, leader epochs, the snapshot at its end, and the active segment's last index entry
// with the few batch headers behind it. After a crash it reads every batch again that lies behind the recovery point, starting at the last
// indexed one before it, with checksums. The first that isn't good ends the log; the warning says which of three it was: torn (the file
// ends inside), zeroed, or invalid. Segments behind it, and segments behind a hole, go: what is left is a prefix. Snapshots, index entries
// and aborted transactions from behind the recovery point aren't believed but made anew. Damage below the recovery point is another matter:
// cutting there would drop what was durable, so a start that meets it, or a read, fails with ErrCorruptMessage, and cuts nothing.
//
// A sync makes leader epochs and transaction indexes durable before it lets the recovery point pass, so below that point they are
// complete. A leader epoch without a record is in memory only: the next leader gives it again. A log without a durable batch has no durable
// folder either, and is made again where a crash took it, so partitions that nobody writes to cost a stop nothing.
//
// # Left out on purpose
//
// Magic 0 and 1. Preallocation: files grow by what is written. Compaction, which works on closed segments below the durable end
// and whose output has to be durable before it takes their place.
package storage
