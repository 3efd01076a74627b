package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a run of the program left.
type result struct {
	code        int
	out, errOut string
	ran         *config.Config // what the broker was run with
}

// execute runs the command line with a broker that ends with err at once.
func execute(t *testing.T, err error, args ...string) result {
	t.Helper()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "KAFKA_") || strings.HasPrefix(name, "KBROKER_") || name == "CLUSTER_ID" {
			t.Setenv(name, value)
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	var r result
	var out, errOut bytes.Buffer
	p := program{out: &out, errOut: &errOut, version: "1.2.3", runBroker: func(_ context.Context, cfg *config.Config, log *slog.Logger) error {
		r.ran = cfg
		log.Info("running")
		return err
	}}
	r.code = p.main(t.Context(), args)
	r.out, r.errOut = out.String(), errOut.String()
	return r
}

func TestMain_exit_codes(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		args   []string
		code   int
		errOut string // in what is on standard error
	}{
		{"a clean stop", nil, []string{"--data-dir=memory:"}, 0, ""},
		{"a broker that fails", errors.New("listen: the address is in use"), []string{"--data-dir=memory:"}, 1, "kbroker: listen: the address is in use\n"},
		{"several lines become one", errors.New("a\nb"), nil, 1, "kbroker: a; b\n"},
		{"a bad setting", nil, []string{"--set", "log.retention.ms=x"}, 1, "kbroker: flag --set: Invalid value x for configuration log.retention.ms"},
		{"an unknown flag", nil, []string{"--nope"}, 2, "unknown flag: --nope"},
		{"an unknown command", nil, []string{"nope"}, 2, `unknown command "nope"`},
		{"an argument too many", nil, []string{"version", "now"}, 2, `unknown command "now"`},
		{"a flag without its argument", nil, []string{"--listen"}, 2, "flag needs an argument"},
		{"help", nil, []string{"--help"}, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := execute(t, tt.err, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d", r.code, tt.code)
			}
			if !strings.Contains(r.errOut, tt.errOut) {
				t.Errorf("standard error is %q, want %q in it", r.errOut, tt.errOut)
			}
		})
	}
}

func TestRun_hands_its_settings_to_the_broker(t *testing.T) {
	r := execute(t, nil, "--data-dir=memory:", "--topic=a:3", "--log-format=json")
	if r.ran == nil || !r.ran.InMemory() || len(r.ran.Topics) != 1 {
		t.Fatalf("the broker ran with %+v", r.ran)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(r.errOut), &line); err != nil || line["msg"] != "running" {
		t.Errorf("the log is %q", r.errOut)
	}
	if r := execute(t, nil, "--log-level=error"); r.errOut != "" {
		t.Errorf("at level error the log has %q", r.errOut)
	}
}

func TestRun_keeps_the_heap_below_what_the_machine_has(t *testing.T) {
	limit, _ := config.MachineMemory()
	if limit == 0 {
		t.Skip("this machine doesn't say how much memory it has")
	}
	var during int64
	p := program{out: io.Discard, errOut: io.Discard, runBroker: func(context.Context, *config.Config, *slog.Logger) error {
		during = debug.SetMemoryLimit(-1)
		return nil
	}}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	if code := p.main(t.Context(), nil); code != 0 || during >= limit || during <= limit/2 {
		t.Errorf("exit code %d, limit %d of %d", code, during, limit)
	}
	debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB")
	if p.main(t.Context(), nil); during != before {
		t.Errorf("GOMEMLIMIT doesn't win: the limit is %d", during)
	}
}

func TestVersion(t *testing.T) {
	if r := execute(t, nil, "version"); r.code != 0 || !strings.HasPrefix(r.out, "kbroker 1.2.3 (go") || r.ran != nil {
		t.Errorf("%+v", r)
	}
}

func TestConfig_prints_settings_with_their_sources(t *testing.T) {
	r := execute(t, nil, "config", "--node-id=5", "--set", "log.retention.hours=3", "--set", "num.io.threads=2")
	for _, line := range []string{"node-id 5 flag --node-id", "log.retention.hours 3 flag --set", "num.io.threads 2 flag --set (has no effect)", "group.initial.rebalance.delay.ms 0 profile dev"} {
		if !strings.Contains(strings.Join(strings.Fields(r.out), " "), line) {
			t.Errorf("%q isn't in\n%s", line, r.out)
		}
	}
	if strings.Contains(r.out, "log.segment.bytes") {
		t.Error("defaults are shown")
	}
	if r := execute(t, nil, "config", "--all"); !strings.Contains(r.out, "log.segment.bytes") {
		t.Error("--all doesn't show defaults")
	}
	r = execute(t, nil, "config", "--json", "--http=off")
	var rows []config.EffectiveSetting
	if err := json.Unmarshal([]byte(r.out), &rows); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range rows {
		found = found || row == config.EffectiveSetting{Name: "http", Value: "off", Origin: "flag --http"}
	}
	if !found {
		t.Errorf("http isn't in %s", r.out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := execute(t, nil, "completion", shell); r.code != 0 || !strings.Contains(r.out, "kbroker") {
			t.Errorf("%s: exit code %d, %d bytes", shell, r.code, len(r.out))
		}
	}
}

func TestHealthcheck_over_HTTP(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	address := "--http=" + server.Listener.Addr().String()
	if r := execute(t, nil, "healthcheck", address); r.code != 0 {
		t.Errorf("ready: %+v", r)
	}
	status = http.StatusServiceUnavailable
	if r := execute(t, nil, "healthcheck", address); r.code != 1 || !strings.Contains(r.errOut, "503") {
		t.Errorf("not ready: %+v", r)
	}
	server.Close()
	if r := execute(t, nil, "healthcheck", address); r.code != 1 || !strings.Contains(r.errOut, "doesn't answer") {
		t.Errorf("not there: %+v", r)
	}
}

func TestHealthcheck_over_Kafka(t *testing.T) {
	answerWith := func(t *testing.T, answer func(correlation uint32) []byte) string {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		t.Cleanup(func() { l.Close(); <-done })
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			request := make([]byte, binary.BigEndian.Uint32(size[:]))
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			if key := binary.BigEndian.Uint16(request); key != 18 {
				t.Errorf("asked for API %d", key)
			}
			_, _ = c.Write(answer(binary.BigEndian.Uint32(request[4:])))
		}()
		return "--listen=" + l.Addr().String()
	}
	kafka := func(correlation uint32) []byte {
		response := kmsg.NewPtrApiVersionsResponse()
		body := response.AppendTo(binary.BigEndian.AppendUint32(nil, correlation))
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	if r := execute(t, nil, "healthcheck", "--http=off", answerWith(t, kafka)); r.code != 0 {
		t.Errorf("a broker: %+v", r)
	}
	stranger := func(uint32) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }
	if r := execute(t, nil, "healthcheck", "--http=off", answerWith(t, stranger)); r.code != 1 || !strings.Contains(r.errOut, "no Kafka broker") {
		t.Errorf("something else: %+v", r)
	}
	silent := func(uint32) []byte { return nil }
	if r := execute(t, nil, "healthcheck", "--http=off", answerWith(t, silent)); r.code != 1 {
		t.Errorf("silence: %+v", r)
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{":9644": "127.0.0.1:9644", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "127.0.0.1:1": "127.0.0.1:1", "localhost:1": "localhost:1"} {
		if got := reachable(listen); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}

func TestDocs_the_generated_pages_are_up_to_date(t *testing.T) {
	for name, page := range pages() {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil || string(b) != page {
			t.Errorf("docs/%s is stale (%v); make docs writes it again", name, err)
		}
	}
}

func TestDocs_writes_the_pages(t *testing.T) {
	dir := t.TempDir()
	if r := execute(t, nil, "docs", "--out", dir); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for name := range pages() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
