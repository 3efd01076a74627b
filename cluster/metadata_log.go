package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

// MetadataTopic is the name under which Kafka knows the metadata log; its folder is called so.
const MetadataTopic = "__cluster_metadata"

// metadataTopicID is the id that Kafka reserves for it.
var metadataTopicID = TopicID{15: 1}

const (
	quorumStateFile   = "quorum-state"
	checkpointSuffix  = ".checkpoint"
	metadataReadBytes = 1 << 20
	// metadataSegmentBytes is small, so that a snapshot frees what lies before it.
	metadataSegmentBytes = 8 << 20
)

// metadataLog is where the controller's core is made durable: a folder that holds
//
//   - an ordinary log: the entry with Raft index i is the batch at offset i-1, its leader epoch the entry's term, its only
//     record's value the entry's type (one byte) and data;
//   - quorum-state: term and vote, and the voters that the log begins with, as JSON, replaced atomically;
//   - <index>-<term>.checkpoint: snapshots. The format: the CRC-32C of what follows (4 bytes), the number of voters and the
//     voters (uvarints), then the image (Image.EncodeSnapshot).
//
// The commit index isn't stored: a leader finds it again. With sync everything is durable before the core hears that it
// is written; else it is as durable as what a partition acknowledges.
type metadataLog struct {
	fs   vfs.FS
	dir  string
	log  *storage.Log
	sync bool
	now  func() int64
	out  *slog.Logger

	voters  []uint64
	builder *batch.Builder
	value   []byte
}

type quorumState struct {
	Version int      `json:"version"`
	Term    uint64   `json:"term"`
	Vote    uint64   `json:"vote"`
	Voters  []uint64 `json:"voters"`
}

// openMetadataLog opens the folder, making it where there is none, and reads what the core has to start from.
func openMetadataLog(fsys vfs.FS, dir string, self uint64, sync bool, now func() int64, out *slog.Logger) (*metadataLog, controllerState, error) {
	cfg := storage.DefaultLogConfig()
	cfg.SegmentBytes, cfg.SegmentMillis = metadataSegmentBytes, maxFlushMillis
	cfg.RetentionMillis, cfg.RetentionBytes, cfg.FileDeleteDelayMillis = -1, -1, 0
	cfg.MaxMessageBytes = maxProposalBytes + metadataReadBytes
	log, err := storage.OpenLog(fsys, dir, storage.TopicPartition{Topic: MetadataTopic}, metadataTopicID, cfg, storage.OpenOptions{NowMillis: now(), Logger: out})
	if err != nil {
		return nil, controllerState{}, fmt.Errorf("metadata log: %w", err)
	}
	m := &metadataLog{fs: fsys, dir: dir, log: log, sync: sync, now: now, out: out, builder: batch.NewBuilder()}
	state, err := m.load(self)
	if err != nil {
		return nil, controllerState{}, errors.Join(fmt.Errorf("metadata log in %s: %w", dir, err), log.Close(now()))
	}
	return m, state, nil
}

func (m *metadataLog) load(self uint64) (controllerState, error) {
	var s controllerState
	var err error
	if s.snapshot, err = m.newestSnapshot(); err != nil {
		return s, err
	}
	after := s.snapshot.GetMetadata().GetIndex()
	if s.entries, err = m.entries(after); err != nil {
		return s, err
	}
	if err := m.readQuorumState(&s, self); err != nil {
		return s, err
	}
	m.voters = s.voters
	return s, nil
}

// readQuorumState reads term and vote. A quorum of one does without them: its last entry's term is its term.
func (m *metadataLog) readQuorumState(s *controllerState, self uint64) error {
	lastTerm := s.snapshot.GetMetadata().GetTerm()
	if n := len(s.entries); n > 0 {
		lastTerm = s.entries[n-1].GetTerm()
	}
	contents, err := readWholeFile(m.fs, path.Join(m.dir, quorumStateFile))
	if errors.Is(err, fs.ErrNotExist) && lastTerm == 0 {
		s.voters = []uint64{self}
		return nil
	}
	var q quorumState
	if err == nil {
		if err = json.Unmarshal(contents, &q); err == nil && (q.Version != 1 || len(q.Voters) == 0) {
			err = fmt.Errorf("version %d with %d voters", q.Version, len(q.Voters))
		}
	}
	if err == nil {
		s.term, s.vote, s.voters = max(q.Term, lastTerm), q.Vote, q.Voters
		if q.Term < lastTerm {
			s.vote = 0
		}
		return nil
	}
	voters := s.snapshot.GetMetadata().GetConfState().GetVoters()
	if len(voters) > 1 || len(voters) == 1 && voters[0] != self {
		return fmt.Errorf("%s: %w", quorumStateFile, err)
	}
	m.out.Warn("the metadata quorum's state is unreadable; the only voter goes on from its log", "file", quorumStateFile, "error", err)
	s.term, s.voters = lastTerm, []uint64{self}
	return nil
}

func (m *metadataLog) writeQuorumState(term, vote uint64) error {
	contents, err := json.Marshal(quorumState{Version: 1, Term: term, Vote: vote, Voters: m.voters})
	if err != nil {
		return err
	}
	return writeFileAtomically(m.fs, path.Join(m.dir, quorumStateFile), contents, m.sync)
}

// write stores the core's work; lasting has it fsynced whatever the durability. It may be repeated after an error.
func (m *metadataLog) write(w controllerWork, lasting bool) error {
	if w.snapshot != nil {
		if err := m.replaceBy(w.snapshot); err != nil {
			return err
		}
	}
	if w.newState {
		if err := m.writeQuorumState(w.term, w.vote); err != nil {
			return err
		}
	}
	if len(w.entries) == 0 {
		return nil
	}
	if first := int64(w.entries[0].GetIndex()) - 1; first < m.log.LogEndOffset() {
		if err := m.log.TruncateTo(first); err != nil {
			return err
		}
	}
	for _, e := range w.entries {
		if _, err := m.log.AppendAsFollower(m.now(), m.encode(e)); err != nil {
			return err
		}
	}
	if m.sync && w.sync || lasting {
		return m.log.Sync()
	}
	return nil
}

func (m *metadataLog) encode(e *raftpb.Entry) []byte {
	m.value = append(m.value[:0], byte(e.GetType()))
	m.value = append(m.value, e.GetData()...)
	m.builder.Reset()
	m.builder.SetBaseOffset(int64(e.GetIndex()) - 1).SetLeaderEpoch(int32(e.GetTerm()))
	return m.builder.Append(m.now(), nil, m.value).Build()
}

// entries reads the entries behind an index.
func (m *metadataLog) entries(after uint64) ([]*raftpb.Entry, error) {
	end := m.log.LogEndOffset()
	next := int64(after)
	if next < m.log.LogStartOffset() {
		return nil, fmt.Errorf("it begins with entry %d, but the newest readable snapshot ends with entry %d", m.log.LogStartOffset()+1, after)
	}
	if end < next {
		// The snapshot outlived the entries that it holds (a power cut in os mode): begin anew behind it.
		return nil, m.log.Reset(next)
	}
	var entries []*raftpb.Entry
	for next < end {
		records, err := m.log.Read(next, end, metadataReadBytes, true)
		if err != nil {
			return nil, err
		}
		b, err := AppendRecords(nil, records)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			return nil, fmt.Errorf("entry %d is missing", next+1)
		}
		for len(b) > 0 {
			h, err := batch.ParseHeader(b)
			if err != nil || h.Size() > len(b) {
				return nil, fmt.Errorf("entry %d: bad batch: %w", next+1, errors.Join(err, storage.ErrCorruptMessage))
			}
			if h.BaseOffset >= next {
				e, err := decodeEntry(h, b[:h.Size()])
				if err != nil {
					return nil, err
				}
				if h.BaseOffset != next {
					return nil, fmt.Errorf("entry %d is missing", next+1)
				}
				entries = append(entries, e)
				next++
			}
			b = b[h.Size():]
		}
	}
	return entries, nil
}

func decodeEntry(h batch.Header, b []byte) (*raftpb.Entry, error) {
	index, term := uint64(h.BaseOffset)+1, uint64(h.LeaderEpoch)
	e := &raftpb.Entry{Index: &index, Term: &term}
	n := 0
	err := batch.EachRecord(b, len(b), func(_ int, r batch.Record) error {
		n++
		if len(r.Value) == 0 {
			return errBadRecords
		}
		e.Type = raftpb.EntryType(r.Value[0]).Enum()
		e.Data = slices.Clone(r.Value[1:])
		return nil
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: %d records", errBadRecords, n)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return e, nil
}

// trim drops the entries up to index, inclusively, and the snapshots before the newest.
func (m *metadataLog) trim(index, snapshot uint64) error {
	if start := int64(index); start > m.log.LogStartOffset() && start <= m.log.LogEndOffset() {
		if err := m.log.AdvanceLogStart(start); err != nil {
			return err
		}
		if _, err := m.log.Retain(m.now(), m.log.LogEndOffset()); err != nil {
			return err
		}
	}
	names, err := m.snapshots()
	if err != nil {
		return err
	}
	for _, name := range names {
		if s, ok := parseCheckpointName(name); ok && s.index < snapshot {
			if err := m.fs.Remove(path.Join(m.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *metadataLog) close() error { return m.log.Close(m.now()) }

// storeSnapshot writes a snapshot's file. Unlike the other methods it may run beside them.
func (m *metadataLog) storeSnapshot(s *snapshotPoint) error {
	s.data = s.image.EncodeSnapshot()
	return m.writeSnapshot(s.index, s.term, s.conf, s.data)
}

func (m *metadataLog) writeSnapshot(index, term uint64, conf *raftpb.ConfState, image []byte) error {
	b := make([]byte, 4, 4+16+len(image))
	b = binary.AppendUvarint(b, uint64(len(conf.GetVoters())))
	for _, v := range conf.GetVoters() {
		b = binary.AppendUvarint(b, v)
	}
	b = append(b, image...)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return writeFileAtomically(m.fs, path.Join(m.dir, checkpointName(index, term)), b, m.sync)
}

// replaceBy has a snapshot of the leader's take the place of the log.
func (m *metadataLog) replaceBy(s *raftpb.Snapshot) error {
	meta := s.GetMetadata()
	if err := m.writeSnapshot(meta.GetIndex(), meta.GetTerm(), meta.GetConfState(), s.GetData()); err != nil {
		return err
	}
	return m.log.Reset(int64(meta.GetIndex()))
}

// newestSnapshot reads the newest snapshot that is whole, nil where there is none.
func (m *metadataLog) newestSnapshot() (*raftpb.Snapshot, error) {
	names, err := m.snapshots()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		s, err := m.readSnapshot(name)
		if err == nil {
			return s, nil
		}
		m.out.Warn("a metadata snapshot can't be used", "file", name, "error", err)
	}
	return nil, nil
}

func (m *metadataLog) readSnapshot(name string) (*raftpb.Snapshot, error) {
	at, _ := parseCheckpointName(name)
	b, err := readWholeFile(m.fs, path.Join(m.dir, name))
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errBadSnapshot)
	}
	d := recordDecoder{b: b[4:]}
	var voters []uint64
	for range d.length() {
		voters = append(voters, d.uvarint())
	}
	if d.err != nil {
		return nil, d.err
	}
	if _, err := DecodeSnapshot(d.b); err != nil {
		return nil, err
	}
	return &raftpb.Snapshot{Data: d.b, Metadata: &raftpb.SnapshotMetadata{
		Index: &at.index, Term: &at.term, ConfState: &raftpb.ConfState{Voters: voters},
	}}, nil
}

// snapshots lists the snapshots' files, the oldest first.
func (m *metadataLog) snapshots() ([]string, error) {
	files, err := m.fs.ReadDir(m.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if _, ok := parseCheckpointName(f.Name()); ok {
			names = append(names, f.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func checkpointName(index, term uint64) string {
	return fmt.Sprintf("%020d-%010d%s", index, term, checkpointSuffix)
}

func parseCheckpointName(name string) (at snapshotPoint, ok bool) {
	if !strings.HasSuffix(name, checkpointSuffix) {
		return at, false
	}
	if n, err := fmt.Sscanf(name, "%020d-%010d", &at.index, &at.term); err != nil || n != 2 {
		return at, false
	}
	return at, name == checkpointName(at.index, at.term)
}
