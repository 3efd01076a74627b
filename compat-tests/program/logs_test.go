package program

import (
	"encoding/json"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// badClients does what clients do wrong.
func badClients(t *testing.T, p *process) {
	t.Helper()
	for _, bytes := range []string{
		"GET / HTTP/1.1\r\n\r\n",                                   // no Kafka client
		"\xff\xff\xff\xff",                                         // a negative length
		"\x00\x00\x00\x08\x7f\xff\x00\x00\x00\x00\x00\x01",         // an API that doesn't exist
		"\x00\x00\x00\x0a\x00\x00\x00\x09\x00\x00\x00\x01\xff\xff", // a produce without a body
		"\x00\x00", // gone in the middle of a frame
	} {
		c := dial(t, p.addrs[0])
		if _, err := c.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		if bytes == "\x00\x00" {
			c.Close()
			continue
		}
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q: %v", bytes, err)
		}
	}
	c := dial(t, p.addrs[0])
	bad := produceOf(t, "t", 1, []byte("x"))
	records := bad.Topics[0].Partitions[0].Records
	records[len(records)-1] ^= 1
	if code := errorOf(c.ask(bad)); code != 2 {
		t.Errorf("a damaged batch got error %d", code)
	}
	if code := errorOf(c.ask(produceOf(t, "none", 1, []byte("x")))); code != 3 {
		t.Errorf("an unknown topic got error %d", code)
	}
	r := c.ask(fetchOf("t", 77, 0, 1)).(*kmsg.FetchResponse)
	if r.Topics[0].Partitions[0].ErrorCode != 1 {
		t.Errorf("an offset out of range got %+v", r.Topics[0].Partitions[0])
	}
	if _, err := kadm.NewClient(client(t, p.addrs[0])).CreateTopic(t.Context(), 1, 1, nil, "t"); err == nil {
		t.Error("a topic was made twice")
	}
}

func TestLogs_clients_errors_are_for_debugging(t *testing.T) {
	p := start(t, "--topic", "t:1")
	before := p.log.String()
	badClients(t, p)
	if said := strings.TrimPrefix(p.log.String(), before); said != "" {
		t.Errorf("clients' errors are logged above debug:\n%s", said)
	}
	q := start(t, "--topic", "t:1", "--log-level", "debug")
	badClients(t, q)
	if n := len(q.log.with("level=DEBUG")); n == 0 {
		t.Errorf("clients' errors aren't logged at debug:\n%s", q.log)
	}
	for _, level := range []string{"WARN", "ERROR"} {
		if found := q.log.with("level=" + level); len(found) > 0 {
			t.Errorf("at %s: %v", level, found)
		}
	}
}

func TestLogs_JSON(t *testing.T) {
	i := invocation{args: []string{"--listen", "127.0.0.1:0", "--http", "off", "--data-dir", "memory:", "--log-format", "json", "--topic", "t:1"}}
	p := i.launch(t)
	p.log.await(t, `"msg":"ready"`)
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	var messages []string
	for line := range strings.Lines(p.log.String()) {
		var entry struct {
			Time  time.Time
			Level string
			Msg   string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time.IsZero() || entry.Level != "INFO" {
			t.Errorf("%q: %v", line, err)
		}
		messages = append(messages, entry.Msg)
	}
	if got := strings.Join(messages, ", "); got != "topic created, ready, stopping, stopped" {
		t.Errorf("it said: %s", got)
	}
}
