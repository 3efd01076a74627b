package handlers

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// adminBroker is a real node in memory with these handlers, and a client's connection to them.
type adminBroker struct {
	t    testing.TB
	h    *Handlers
	node *cluster.Node
	conn net.Conn
}

type nodePartitions struct{ *cluster.Node }

func (n nodePartitions) Partition(topic string, partition int32) (Partition, error) {
	p, err := n.Node.Partition(topic, partition)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// testEndpoints has brokers at ports that tell their ids, on the listeners of the map.
type testEndpoints map[string]bool

func (e testEndpoints) Endpoint(c *wire.Conn, b *cluster.BrokerInfo) (string, int32, bool) {
	return "host-of-" + c.Listener(), 9000 + b.ID, e[c.Listener()]
}

// startAdmin runs a broker with static settings (name, value, name, value...) and the listeners PLAINTEXT and OTHER, of which only
// the first has an endpoint.
func startAdmin(t testing.TB, settings ...string) *adminBroker {
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
	manager, err := storage.OpenManager(t.Context(), storage.ManagerConfig{FS: fs, Dirs: []string{"/data"}, NodeID: 1, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	node := cluster.New(cluster.Config{NodeID: 1, ClusterID: "testtesttesttesttesttQ", Manager: manager, FS: fs, MetadataDir: "/data", Static: static, Logger: logger,
		Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "localhost", Port: 9092}}})
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ran
		manager.Close()
	})
	select {
	case <-node.Ready():
	case err := <-ran:
		ran <- err
		t.Fatal("the node ended:", err)
	}
	h := &Handlers{
		NodeID: 1, Metadata: node, Partitions: nodePartitions{node}, Endpoints: testEndpoints{"PLAINTEXT": true}, Static: static, Log: logger, Now: time.Now, Context: ctx,
		LogDirs: func() []LogDir { return []LogDir{{Path: "/data", TotalBytes: 1000, FreeBytes: 500}} },
	}
	b := &adminBroker{t: t, h: h, node: node}
	h.Init()
	b.conn = b.dial("PLAINTEXT")
	return b
}

// dial serves a listener of that name and connects to it.
func (b *adminBroker) dial(listener string) net.Conn {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s := wire.New(wire.Config{APIs: WireAPIs(), Handle: b.h.Handle, Limits: wire.DefaultLimits(), Logger: b.h.Log})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []wire.Listener{{Name: listener, Net: l}}) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		conn.Close()
		stop()
		<-served
	})
	return conn
}

// ask sends a request and gives its answer, as both are on the wire.
func ask[R kmsg.Response](b *adminBroker, version int16, req kmsg.Request) R {
	b.t.Helper()
	return askOn[R](b, b.conn, version, req)
}

func askOn[R kmsg.Response](b *adminBroker, conn net.Conn, version int16, req kmsg.Request) R {
	b.t.Helper()
	req.SetVersion(version)
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 7)); err != nil {
		b.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		b.t.Fatalf("%T v%d got no answer: %v", req, version, err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		b.t.Fatal(err)
	}
	body = body[4:]
	if req.IsFlexible() {
		body = body[1:]
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	if err := resp.ReadFrom(body); err != nil {
		b.t.Fatalf("%T v%d: %v", resp, version, err)
	}
	return resp.(R)
}

// create makes topics of so many partitions and fails the test if one is refused.
func (b *adminBroker) create(partitions int32, names ...string) {
	b.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 5000
	for _, name := range names {
		req.Topics = append(req.Topics, newTopicRow(name, partitions))
	}
	for _, row := range ask[*kmsg.CreateTopicsResponse](b, 7, req).Topics {
		wantCode(b.t, "create "+row.Topic, row.ErrorCode, 0)
	}
}

func newTopicRow(name string, partitions int32, settings ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	for i := 0; i+1 < len(settings); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = settings[i], &settings[i+1]
		t.Configs = append(t.Configs, c)
	}
	return t
}

func metadataOf(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func wantCode(t testing.TB, what string, got, want int16) {
	t.Helper()
	if got != want {
		t.Errorf("%s: error %d, want %d", what, got, want)
	}
}

func wantText(t testing.TB, what string, got *string, want string) {
	t.Helper()
	if got == nil || *got != want {
		shown := "null"
		if got != nil {
			shown = *got
		}
		t.Errorf("%s says %s\nwant %s", what, shown, want)
	}
}
