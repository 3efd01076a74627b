package groupcoord

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/storage"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write what the scenarios give into their files")

// TestScenarios runs the scripts of testdata. A script's lines are commands; what a command brought about stands below it, indented.
// Time, commits and failures are moved by commands.
//
//	config KEY=N ...                                 settings, before anything else
//	join NAME GROUP [id=] [instance=] [protos=a:m,b:n] [type=] [session=] [rebalance=] [v=]
//	sync NAME GROUP gen= id= [instance=] [assign=MEMBER:BYTES,...] [type=] [proto=] [v=]
//	beat GROUP id= gen= [instance=]
//	leave GROUP [v=] MEMBER|MEMBER/INSTANCE|/INSTANCE ...
//	commit NAME GROUP [id=] [gen=] [instance=] [v=] [retention=] [meta=] TOPIC:PARTITION=OFFSET ...
//	fetch NAME GROUP [stable] TOPIC:PARTITION ... | all
//	offset-delete NAME GROUP TOPIC:PARTITION ...
//	delete NAME GROUP ...       describe GROUP [v=]      list [states=a,b] [types=a,b]     delete-topics TOPIC ...
//	txn PRODUCER GROUP TOPIC:PARTITION=OFFSET       commit-txn PRODUCER       abort-txn PRODUCER
//	tick MILLIS       hold (commits don't come)       release       fail KIND (the next append)       timeout (of what is held)
//	restart (a new coordinator from the log)       unload       log (what was written since the last time)
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScenario(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs:\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\n  want %q\n  got  %q", i+1, a, b)
		}
	}
	return ""
}

func runScenario(t *testing.T, script string) string {
	d := newDriver(t)
	var result strings.Builder
	blocks := strings.SplitAfter(script, "\n")
	for _, line := range blocks {
		if strings.HasPrefix(line, "  ") {
			continue // what was expected
		}
		result.WriteString(line)
		command := strings.TrimSpace(line)
		if command == "" || strings.HasPrefix(command, "#") {
			continue
		}
		d.run(command)
		for _, e := range d.events {
			result.WriteString("  " + e + "\n")
		}
		d.events = nil
	}
	return result.String()
}

// driver drives a shard by hand.
type driver struct {
	t      *testing.T
	cfg    Config
	shard  *Shard
	now    int64
	ids    int
	events []string

	log      []logged
	shown    int
	holding  bool
	held     []func(*coord.Output, error)
	failNext error
}

type logged struct {
	producerID int64
	record     coord.Record
	marker     string
}

func newDriver(t *testing.T) *driver {
	d := &driver{t: t, cfg: DefaultConfig(), now: 1_000_000}
	d.newShard()
	return d
}

func (d *driver) newShard() {
	d.shard = NewShard(d.cfg, slog.New(slog.DiscardHandler), func() string { d.ids++; return strconv.Itoa(d.ids) })
}

func (d *driver) out() *coord.Output { return &coord.Output{Now: d.now, Wall: d.now} }

func (d *driver) event(format string, args ...any) {
	d.events = append(d.events, fmt.Sprintf(format, args...))
}

// do runs an operation as the runtime does.
func (d *driver) do(op func(s *Shard, out *coord.Output)) {
	out := d.out()
	op(d.shard, out)
	d.settle(out)
}

func (d *driver) settle(out *coord.Output) {
	for writes := out.Writes(); len(writes) > 0; writes = out.Writes() {
		for _, w := range writes {
			if len(w.Records) > 0 && d.failNext != nil {
				err := d.failNext
				d.failNext = nil
				w.Done(out, err)
				continue
			}
			for _, r := range w.Records {
				d.log = append(d.log, logged{-1, r, ""})
				if !w.NoReplay {
					d.replay(len(d.log) - 1)
				}
			}
			if w.Appended != nil {
				w.Appended(out)
			}
			switch {
			case w.Done == nil:
			case d.holding:
				d.held = append(d.held, w.Done)
			default:
				w.Done(out, nil)
			}
		}
	}
	out.Deliver()
}

func (d *driver) replay(i int) {
	e := d.log[i]
	switch e.marker {
	case "commit", "abort":
		d.shard.EndTransaction(e.producerID, e.marker == "commit")
	default:
		if err := d.shard.Replay(coord.Position{Offset: int64(i), ProducerID: e.producerID}, e.record.Key, e.record.Value); err != nil {
			d.t.Fatal(err)
		}
	}
}

// complete ends what is held.
func (d *driver) complete(err error) {
	held := d.held
	d.held = nil
	out := d.out()
	for _, done := range held {
		done(out, err)
	}
	d.settle(out)
}

// tick lets time go by; what is due happens at its time.
func (d *driver) tick(millis int64) {
	end := d.now + millis
	for {
		at, ok := d.shard.Deadline()
		if !ok || at > end {
			break
		}
		d.now = max(d.now, at)
		n := len(d.events)
		d.do(func(s *Shard, out *coord.Output) { s.Tick(out) })
		for i := n; i < len(d.events); i++ {
			d.events[i] = fmt.Sprintf("%dms later: %s", d.now-(end-millis), d.events[i])
		}
	}
	d.now = end
}

func (d *driver) restart() {
	d.unload()
	d.held, d.holding = nil, false
	d.newShard()
	for i := range d.log {
		d.replay(i)
	}
	d.do(func(s *Shard, out *coord.Output) { s.Loaded(out) })
}

func (d *driver) unload() {
	d.complete(coord.ErrNotCoordinator)
	d.do(func(s *Shard, out *coord.Output) { s.Unloaded(out) })
}

// args are a command's words, and its words with '=' in them.
type args struct {
	words []string
	named map[string]string
}

func (a args) str(name, otherwise string) string {
	if v, ok := a.named[name]; ok {
		return v
	}
	return otherwise
}

func (a args) ptr(name string) *string {
	if v, ok := a.named[name]; ok {
		return &v
	}
	return nil
}

func (a args) num(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(a.str(name, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func parseArgs(words []string) args {
	a := args{named: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && !strings.Contains(k, ":") {
			a.named[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func name(code int16) string {
	if code == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(code).Message
}

func show(s *string) string {
	if s == nil {
		return "null"
	}
	return strconv.Quote(*s)
}

// topicPartition reads TOPIC:PARTITION and TOPIC:PARTITION=OFFSET.
func topicPartition(s string) (topic string, partition int32, offset int64) {
	s, o, _ := strings.Cut(s, "=")
	topic, p, _ := strings.Cut(s, ":")
	n, _ := strconv.Atoi(p)
	offset, _ = strconv.ParseInt(o, 10, 64)
	return topic, int32(n), offset
}

var failures = map[string]error{
	"not-leader":     cluster.ErrNotLeader,
	"too-few":        cluster.ErrNotEnoughReplicas,
	"storage":        storage.ErrStorage,
	"too-large":      coord.ErrTooLarge,
	"not-thought-of": errors.New("something else"),
}

func (d *driver) run(command string) {
	words := strings.Fields(command)
	a := parseArgs(words[1:])
	switch words[0] {
	case "config":
		c := &d.cfg
		c.InitialRebalanceDelayMillis = int32(a.num("delay", int64(c.InitialRebalanceDelayMillis)))
		c.MaxSize = int32(a.num("max-size", int64(c.MaxSize)))
		c.OffsetsRetentionMillis = a.num("retention", c.OffsetsRetentionMillis)
		c.OffsetsRetentionCheckMillis = a.num("check", c.OffsetsRetentionCheckMillis)
		c.Limits.GroupsPerShard = int(a.num("groups", int64(c.Limits.GroupsPerShard)))
		c.Limits.PendingMembersPerGroup = int(a.num("pending", int64(c.Limits.PendingMembersPerGroup)))
		c.Limits.GroupBytes = int(a.num("group-bytes", int64(c.Limits.GroupBytes)))
		c.Limits.MemberBytes = int(a.num("member-bytes", int64(c.Limits.MemberBytes)))
		if len(d.shard.groups) == 0 {
			d.newShard()
		} else {
			d.shard.cfg = d.cfg
		}
	case "join":
		d.join(a)
	case "sync":
		d.sync(a)
	case "beat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Group, r.MemberID, r.InstanceID, r.Generation = a.words[0], a.str("id", ""), a.ptr("instance"), int32(a.num("gen", -1))
		d.do(func(s *Shard, out *coord.Output) { d.event("%s", name(errorCode(s.Heartbeat(out, r)))) })
	case "leave":
		d.leave(a)
	case "commit":
		d.commit(a)
	case "fetch":
		d.fetch(a)
	case "offset-delete":
		d.offsetDelete(a)
	case "delete":
		d.do(func(s *Shard, out *coord.Output) {
			s.Delete(out, a.words[1:], func(groups []kmsg.DeleteGroupsResponseGroup) {
				for _, g := range groups {
					d.event("%s: %s %s", a.words[0], g.Group, name(g.ErrorCode))
				}
			})
		})
	case "describe":
		g := d.shard.Describe(a.words[0], int16(a.num("v", 6)))
		d.event("%s %s type=%q protocol=%q", name(g.ErrorCode), g.State, g.ProtocolType, g.Protocol)
		for _, m := range g.Members {
			d.event("member %s instance=%s client=%s host=%s metadata=%q assignment=%q", m.MemberID, show(m.InstanceID), m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment)
		}
	case "list":
		for _, g := range d.shard.List(list(a.str("states", "")), list(a.str("types", ""))) {
			d.event("%s type=%q %s %s", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
		}
	case "delete-topics":
		d.do(func(s *Shard, out *coord.Output) { s.DeleteTopics(out, a.words) })
	case "txn":
		topic, p, o := topicPartition(a.words[2])
		producer, _ := strconv.ParseInt(a.words[0], 10, 64)
		d.log = append(d.log, logged{producerID: producer, record: offsetRecord(a.words[1], topic, p, &offset{offset: o, leaderEpoch: -1, commitWall: d.now, expireWall: -1})})
		d.replay(len(d.log) - 1)
	case "commit-txn", "abort-txn":
		producer, _ := strconv.ParseInt(a.words[0], 10, 64)
		d.log = append(d.log, logged{producerID: producer, marker: strings.TrimSuffix(words[0], "-txn")})
		d.replay(len(d.log) - 1)
	case "tick":
		n, _ := strconv.ParseInt(a.words[0], 10, 64)
		d.tick(n)
	case "hold":
		d.holding = true
	case "release":
		d.holding = false
		d.complete(nil)
	case "timeout":
		d.holding = false
		d.complete(coord.ErrTimeout)
	case "fail":
		if d.failNext = failures[a.words[0]]; d.failNext == nil {
			d.t.Fatalf("unknown failure %q", a.words[0])
		}
	case "restart":
		d.restart()
	case "unload":
		d.unload()
	case "log":
		d.showLog()
	default:
		d.t.Fatalf("unknown command %q", command)
	}
}

func (d *driver) join(a args) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version = int16(a.num("v", 9))
	r.Group, r.MemberID, r.InstanceID, r.ProtocolType = a.words[1], a.str("id", ""), a.ptr("instance"), a.str("type", "consumer")
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(a.num("session", 10000)), int32(a.num("rebalance", 60000))
	for _, p := range list(a.str("protos", "range:m")) {
		n, metadata, _ := strings.Cut(p, ":")
		if topics, ok := strings.CutPrefix(metadata, "topics+"); ok {
			m := kmsg.NewConsumerMemberMetadata()
			m.Topics = strings.Split(topics, "+")
			metadata = string(m.AppendTo(nil))
		}
		r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: n, Metadata: []byte(metadata)})
	}
	d.do(func(s *Shard, out *coord.Output) {
		s.Join(out, Caller{a.str("client", "c"), "/127.0.0.1"}, r, func(resp *kmsg.JoinGroupResponse) {
			if resp.ErrorCode != 0 {
				d.event("%s: %s member=%q", a.words[0], name(resp.ErrorCode), resp.MemberID)
				return
			}
			line := fmt.Sprintf("%s: generation=%d protocol=%s type=%s leader=%s member=%s", a.words[0], resp.Generation, show(resp.Protocol), show(resp.ProtocolType), resp.LeaderID, resp.MemberID)
			if resp.SkipAssignment {
				line += " skip-assignment"
			}
			if len(resp.Members) > 0 {
				line += " members:"
				for _, m := range resp.Members {
					line += " " + m.MemberID
					if m.InstanceID != nil {
						line += "/" + *m.InstanceID
					}
					line += fmt.Sprintf("=%q", m.ProtocolMetadata)
				}
			}
			d.event("%s", line)
		})
	})
}

func (d *driver) sync(a args) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version = int16(a.num("v", 5))
	r.Group, r.MemberID, r.InstanceID, r.Generation = a.words[1], a.str("id", ""), a.ptr("instance"), int32(a.num("gen", -1))
	r.ProtocolType, r.Protocol = a.ptr("type"), a.ptr("proto")
	for _, x := range list(a.str("assign", "")) {
		m, assignment, _ := strings.Cut(x, ":")
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte(assignment)})
	}
	d.do(func(s *Shard, out *coord.Output) {
		s.Sync(out, r, func(resp *kmsg.SyncGroupResponse) {
			d.event("%s: %s assignment=%q type=%s protocol=%s", a.words[0], name(resp.ErrorCode), resp.MemberAssignment, show(resp.ProtocolType), show(resp.Protocol))
		})
	})
}

func (d *driver) leave(a args) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = int16(a.num("v", 5)), a.words[0]
	for _, w := range a.words[1:] {
		id, instance, static := strings.Cut(w, "/")
		m := kmsg.LeaveGroupRequestMember{MemberID: id}
		if static {
			m.InstanceID = &instance
		}
		r.MemberID = id
		r.Members = append(r.Members, m)
	}
	d.do(func(s *Shard, out *coord.Output) {
		for _, m := range s.Leave(out, r) {
			d.event("%q/%s %s", m.MemberID, show(m.InstanceID), name(m.ErrorCode))
		}
	})
}

func (d *driver) commit(a args) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version = int16(a.num("v", 8))
	r.Group, r.MemberID, r.InstanceID, r.Generation = a.words[1], a.str("id", ""), a.ptr("instance"), int32(a.num("gen", -1))
	r.RetentionTimeMillis = a.num("retention", -1)
	var rows []commitRow
	for _, w := range a.words[2:] {
		topic, p, o := topicPartition(w)
		row := commitRow{topic: topic, topicID: [16]byte{1}, partition: kmsg.NewOffsetCommitRequestTopicPartition()}
		row.partition.Partition, row.partition.Offset, row.partition.Metadata = p, o, a.ptr("meta")
		row.partition.LeaderEpoch = int32(a.num("epoch", -1))
		if n := a.num("meta-length", 0); n > 0 {
			row.partition.Metadata = new(strings.Repeat("é", int(n)))
		}
		rows = append(rows, row)
	}
	d.do(func(s *Shard, out *coord.Output) {
		s.CommitOffsets(out, r, rows, func(codes []int16) {
			line := a.words[0] + ":"
			for _, c := range codes {
				line += " " + name(c)
			}
			d.event("%s", line)
		})
	})
}

func (d *driver) fetch(a args) {
	words := a.words[2:]
	stable := len(words) > 0 && words[0] == "stable"
	if stable {
		words = words[1:]
	}
	var topics []fetchTopic
	if words[0] != "all" {
		for _, w := range words {
			topic, p, _ := topicPartition(w)
			topics = append(topics, fetchTopic{name: topic, partitions: []int32{p}})
		}
	}
	d.do(func(s *Shard, out *coord.Output) {
		s.FetchOffsets(out, a.words[1], topics, stable, func(topics []offsetTopic, code int16) {
			line := fmt.Sprintf("%s: %s", a.words[0], name(code))
			for _, t := range topics {
				for _, row := range t.rows {
					line += fmt.Sprintf(" %s:%d=%d", t.name, row.partition, row.offset)
					if row.leaderEpoch >= 0 {
						line += fmt.Sprintf(" epoch=%d", row.leaderEpoch)
					}
					if row.metadata != "" {
						line += fmt.Sprintf(" %q", row.metadata)
					}
					if row.code != 0 {
						line += " " + name(row.code)
					}
				}
			}
			d.event("%s", line)
		})
	})
}

func (d *driver) offsetDelete(a args) {
	var topics []kmsg.OffsetDeleteRequestTopic
	for _, w := range a.words[2:] {
		topic, p, _ := topicPartition(w)
		topics = append(topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: p}}})
	}
	d.do(func(s *Shard, out *coord.Output) {
		s.DeleteOffsets(out, a.words[1], topics, func(topics []kmsg.OffsetDeleteResponseTopic, code int16) {
			line := fmt.Sprintf("%s: %s", a.words[0], name(code))
			for _, t := range topics {
				for _, p := range t.Partitions {
					line += fmt.Sprintf(" %s:%d %s", t.Topic, p.Partition, name(p.ErrorCode))
				}
			}
			d.event("%s", line)
		})
	})
}

func (d *driver) showLog() {
	for ; d.shown < len(d.log); d.shown++ {
		e := d.log[d.shown]
		if e.marker != "" {
			d.event("%s of producer %d", e.marker, e.producerID)
			continue
		}
		o, g, err := decodeRecord(e.record.Key, e.record.Value)
		switch {
		case err != nil:
			d.t.Fatal(err)
		case o != nil && o.value == nil:
			d.event("offset %s %s:%d deleted", o.group, o.topic, o.partition)
		case o != nil:
			d.event("offset %s %s:%d=%d", o.group, o.topic, o.partition, o.value.offset)
		case g.value == nil:
			d.event("group %s deleted", g.group)
		default:
			v := g.value
			line := fmt.Sprintf("group %s v%d generation=%d protocol=%s type=%q leader=%s", g.group, v.Version, v.Generation, show(v.Protocol), v.ProtocolType, show(v.Leader))
			slices.SortStableFunc(v.Members, func(a, b kmsg.GroupMetadataValueMember) int { return cmp.Compare(a.MemberID, b.MemberID) })
			for _, m := range v.Members {
				line += fmt.Sprintf(" %s=%q", m.MemberID, m.Assignment)
			}
			d.event("%s", line)
		}
	}
}
