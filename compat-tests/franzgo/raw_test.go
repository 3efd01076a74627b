// Package franzgo runs franz-go's clients, and its own test suite, against the built broker.
package franzgo

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is a bare connection, for what no client library does.
type conn struct {
	net.Conn
	r         *bufio.Reader
	formatter *kmsg.RequestFormatter
	next      int32
}

func dial(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &conn{Conn: c, r: bufio.NewReader(c), formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw"))}
}

// send writes requests in one go and gives their correlation ids.
func (c *conn) send(t *testing.T, reqs ...kmsg.Request) []int32 {
	t.Helper()
	var out []byte
	var ids []int32
	for _, r := range reqs {
		out = append(out, c.formatter.AppendRequest(nil, r, c.next)...) // it wants its buffer empty
		ids = append(ids, c.next)
		c.next++
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	return ids
}

// receive reads the next response, which has to belong to correlation id.
func (c *conn) receive(t *testing.T, id int32, resp kmsg.Response) {
	t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(c.r, body); err != nil {
		t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != id {
		t.Fatalf("CONN-08: the answer to request %d came in the place of request %d's", got, id)
	}
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
}

func produce(topic string, acks int16, value string) *kmsg.ProduceRequest {
	b := batch.NewBuilder()
	b.Append(time.Now().UnixMilli(), nil, []byte(value))
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = b.Build()
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func TestPipelinedProducesAreAppendedAndAnsweredInOrder_CONN_08_CONN_09_PROD_31(t *testing.T) {
	b := proc.Start(t, "--topic", "p")
	c := dial(t, b.Addr)
	var reqs []kmsg.Request
	for range 100 {
		reqs = append(reqs, produce("p", -1, "x"))
	}
	for i, id := range c.send(t, reqs...) {
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 9
		c.receive(t, id, resp)
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Errorf("request %d: error %d, offset %d", i, p.ErrorCode, p.BaseOffset)
		}
	}
}

func TestAcksZeroGetsNoAnswer_CONN_17(t *testing.T) {
	b := proc.Start(t, "--topic", "p")
	c := dial(t, b.Addr)
	ids := c.send(t, produce("p", 0, "a"), produce("p", 0, "b"), produce("p", 1, "c"))
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 9
	c.receive(t, ids[2], resp)
	if p := resp.Topics[0].Partitions[0]; p.BaseOffset != 2 {
		t.Errorf("offset %d, want 2: the records before it were sent with acks=0", p.BaseOffset)
	}
}

// A parked fetch holds up neither the append behind it on the same connection nor its own answer.
func TestParkedFetchDoesNotHoldUpTheAppendBehindIt_CONN_10(t *testing.T) {
	b := proc.Start(t, "--topic", "p")
	c := dial(t, b.Addr)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 12, 20000, 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "p"
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	rt.Partitions = append(rt.Partitions, rp)
	fetch.Topics = append(fetch.Topics, rt)
	ids := c.send(t, fetch, produce("p", 1, "wakes it"))
	fetched := kmsg.NewPtrFetchResponse()
	fetched.Version = 12
	c.receive(t, ids[0], fetched)
	if n := len(fetched.Topics[0].Partitions[0].RecordBatches); n == 0 {
		t.Error("the fetch came back empty")
	}
	produced := kmsg.NewPtrProduceResponse()
	produced.Version = 9
	c.receive(t, ids[1], produced)
}
