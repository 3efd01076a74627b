package handlers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// dataBroker is a real node in memory with these handlers, reached over pipes, so that all of it runs in a bubble whose time is virtual.
type dataBroker struct {
	t      *testing.T
	h      *Handlers
	node   *cluster.Node
	server *wire.Server
	pipes  *pipeListener
	faults *faults
	client *client
	stop   context.CancelFunc
}

// bubble runs a test against a broker with static settings (name, value, name, value...) in virtual time.
func bubble(t *testing.T, test func(b *dataBroker), settings ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(startData(t, settings...)) })
}

func startData(t *testing.T, settings ...string) *dataBroker {
	t.Helper()
	return startDataAs(t, func(*cluster.Config) {}, settings...)
}

// startDataAs is startData with a node of another configuration.
func startDataAs(t *testing.T, change func(*cluster.Config), settings ...string) *dataBroker {
	t.Helper()
	var list []config.Setting
	for i := 0; i+1 < len(settings); i += 2 {
		list = append(list, config.Setting{Name: settings[i], Value: settings[i+1]})
	}
	static, err := config.NewStatic(list...)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	fs := vfs.NewMem(vfs.MemOptions{})
	ctx, stop := context.WithCancel(context.Background())
	manager, err := storage.OpenManager(ctx, storage.ManagerConfig{FS: fs, Dirs: []string{"/data"}, NodeID: 1, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	rack := "r1"
	cfg := cluster.Config{NodeID: 1, ClusterID: "testtesttesttesttesttQ", Manager: manager, FS: fs, MetadataDir: "/data", Static: static, Logger: logger, Rack: &rack,
		Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "localhost", Port: 9092}}}
	change(&cfg)
	node := cluster.New(cfg)
	ran := make(chan error, 1)
	go func() { ran <- node.Run(ctx) }()
	<-node.Ready()
	b := &dataBroker{t: t, node: node, stop: stop, faults: &faults{Partitions: nodePartitions{node}}, pipes: &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}}
	b.h = &Handlers{NodeID: 1, Metadata: node, Partitions: b.faults, ProducerIDs: node, Endpoints: testEndpoints{"PLAINTEXT": true}, Static: static, Log: logger, Now: time.Now, Context: ctx}
	b.h.Init()
	b.server = wire.New(wire.Config{APIs: WireAPIs(), Handle: b.h.Handle, Limits: wire.DefaultLimits(), Logger: logger})
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(ctx, []wire.Listener{{Name: "PLAINTEXT", Net: b.pipes}}) }()
	t.Cleanup(func() {
		stop()
		<-served
		<-ran
		manager.Close()
	})
	b.client = b.dial()
	return b
}

// faults gives a partition another face where a test wants one.
type faults struct {
	Partitions
	mu    sync.Mutex
	faces map[storage.TopicPartition]func(Partition) (Partition, error)
}

func (f *faults) Partition(topic string, partition int32) (Partition, error) {
	p, err := f.Partitions.Partition(topic, partition)
	f.mu.Lock()
	face := f.faces[storage.TopicPartition{Topic: topic, Partition: partition}]
	f.mu.Unlock()
	if face != nil && err == nil {
		return face(p)
	}
	return p, err
}

// give has a partition shown through face; nil shows it as it is.
func (f *faults) give(topic string, partition int32, face func(Partition) (Partition, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faces == nil {
		f.faces = map[storage.TopicPartition]func(Partition) (Partition, error){}
	}
	f.faces[storage.TopicPartition{Topic: topic, Partition: partition}] = face
}

// broken has every call for a partition fail.
func (f *faults) broken(topic string, partition int32, err error) {
	f.give(topic, partition, func(Partition) (Partition, error) { return nil, err })
}

// pipeListener hands out one end of each in-memory pipe.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// client is a connection to the broker.
type client struct {
	t    *testing.T
	id   string
	conn net.Conn
	next int32
}

func (b *dataBroker) dial() *client {
	near, far := net.Pipe()
	b.pipes.conns <- far
	b.t.Cleanup(func() { near.Close() })
	return &client{t: b.t, id: "test", conn: near}
}

// waiting is a request whose answer wasn't read yet.
type waiting[R kmsg.Response] struct {
	c    *client
	req  kmsg.Request
	id   int32
	sent time.Time
}

// send sends a request without waiting for its answer.
func send[R kmsg.Response](c *client, version int16, req kmsg.Request) waiting[R] {
	c.t.Helper()
	req.SetVersion(version)
	c.next++
	w := waiting[R]{c, req, c.next, time.Now()}
	if _, err := c.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.id)).AppendRequest(nil, req, c.next)); err != nil {
		c.t.Fatal(err)
	}
	return w
}

// get reads the answer, and says how long it took since the request was sent.
func (w waiting[R]) get() (R, time.Duration) {
	w.c.t.Helper()
	body := w.c.frame()
	if id := int32(binary.BigEndian.Uint32(body)); id != w.id {
		w.c.t.Fatalf("the answer to %d, want %d", id, w.id)
	}
	body = body[4:]
	if w.req.IsFlexible() && w.req.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	resp := w.req.ResponseKind()
	resp.SetVersion(w.req.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		w.c.t.Fatalf("%T v%d: %v", resp, w.req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) { // no byte more, and none that kmsg would write in another way
		w.c.t.Errorf("%T v%d: the answer is\n%x\nkmsg has\n%x", resp, w.req.GetVersion(), body, again)
	}
	return resp.(R), time.Since(w.sent)
}

// do sends a request and reads its answer.
func do[R kmsg.Response](c *client, version int16, req kmsg.Request) R {
	c.t.Helper()
	resp, _ := send[R](c, version, req).get()
	return resp
}

func (c *client) frame() []byte {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		c.t.Fatal("no answer: ", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	return body
}

// closed fails the test unless the broker ends the connection without another byte.
func (c *client) closed() {
	c.t.Helper()
	if n, err := c.conn.Read(make([]byte, 1)); n != 0 || !(errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)) {
		c.t.Errorf("%d bytes, %v; want the end of the connection", n, err)
	}
}

// silent fails the test if anything comes within d.
func (c *client) silent(d time.Duration) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	if n, err := c.conn.Read(make([]byte, 1)); n != 0 || err == nil {
		c.t.Fatalf("%d bytes, %v; want silence", n, err)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
}

// create makes a topic with settings (name, value...).
func (b *dataBroker) create(name string, partitions int32, settings ...string) cluster.TopicID {
	b.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 5000
	req.Topics = append(req.Topics, newTopicRow(name, partitions, settings...))
	row := do[*kmsg.CreateTopicsResponse](b.client, 7, req).Topics[0]
	wantCode(b.t, "create "+name, row.ErrorCode, 0)
	return row.TopicID
}

func (b *dataBroker) delete(name string) {
	b.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 5000
	req.TopicNames = []string{name}
	wantCode(b.t, "delete "+name, do[*kmsg.DeleteTopicsResponse](b.client, 5, req).Topics[0].ErrorCode, 0)
}

// fill appends one batch for each of sizes, with one record of so many bytes.
func (b *dataBroker) fill(topic string, partition int32, sizes ...int) {
	b.t.Helper()
	for _, size := range sizes {
		p, err := b.node.Partition(topic, partition)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := p.Append(cluster.AppendRequest{Records: values(make([]byte, size)), Acks: 1, AllowZstd: true}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// deleteRecords moves a log's start.
func (b *dataBroker) deleteRecords(topic string, partition int32, before int64) {
	b.t.Helper()
	p, err := b.node.Partition(topic, partition)
	if err == nil {
		_, err = p.DeleteRecords(before)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// now is a time in ms at which records are neither too old nor too new.
func now() int64 { return time.Now().UnixMilli() }

// values is a plain batch with a record for each of values.
func values(values ...[]byte) []byte {
	w := batch.NewBuilder()
	for _, v := range values {
		w.Append(now(), nil, v)
	}
	return w.Build()
}

// sequenced is a batch of n records of an idempotent producer.
func sequenced(id int64, epoch int16, sequence int32, n int) []byte {
	w := batch.NewBuilder().SetProducer(id, epoch, sequence)
	for range n {
		w.Append(now(), nil, []byte("v"))
	}
	return w.Build()
}

// changed is a batch that was changed behind the producer's back, with a checksum that is right again.
func changed(b []byte, change func([]byte)) []byte {
	change(b)
	batch.SetCRC(b)
	return b
}

func produceOf(topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	req.Topics = append(req.Topics, produceTopicOf(topic, 0, records))
	return req
}

func produceTopicOf(topic string, partition int32, records []byte) kmsg.ProduceRequestTopic {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, p)
	return t
}

// produced sends records to partition 0 of a topic and gives the row of the answer.
func (c *client) produced(version int16, topic string, records []byte) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	resp := do[*kmsg.ProduceResponse](c, version, produceOf(topic, records))
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Topic != topic {
		c.t.Fatalf("rows %+v", resp.Topics)
	}
	return resp.Topics[0].Partitions[0]
}

// fetchOf is a fetch without a session.
func fetchOf(maxWaitMillis int32, topics ...kmsg.FetchRequestTopic) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = maxWaitMillis, 1, 1<<20, -1
	req.Topics = topics
	return req
}

// fetchTopicOf asks for partitions of a topic: number, offset, number, offset...
func fetchTopicOf(topic string, partitionsAndOffsets ...int64) kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for i := 0; i+1 < len(partitionsAndOffsets); i += 2 {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(partitionsAndOffsets[i]), partitionsAndOffsets[i+1], 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// byID names the topic by its id.
func byID(t kmsg.FetchRequestTopic, id cluster.TopicID) kmsg.FetchRequestTopic {
	t.TopicID = id
	return t
}

// fetched gives the one row of a fetch.
func (c *client) fetched(version int16, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	resp := do[*kmsg.FetchResponse](c, version, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		c.t.Fatalf("error %d, rows %+v", resp.ErrorCode, resp.Topics)
	}
	return resp.Topics[0].Partitions[0]
}

// batches are the base offsets of the batches in records, which must be whole.
func batches(t testing.TB, records []byte) (offsets []int64) {
	t.Helper()
	for len(records) > 0 {
		h, err := batch.ParseHeader(records)
		if err != nil || h.Size() > len(records) || !batch.ValidCRC(records[:h.Size()]) {
			t.Fatalf("after %d batches comes no whole one: %v", len(offsets), err)
		}
		offsets = append(offsets, h.BaseOffset)
		records = records[h.Size():]
	}
	return offsets
}
