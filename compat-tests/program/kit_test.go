// Package program tests the built binary as its users meet it: command line, files and environment, what it says when it can't start, what clients
// are told, readiness, health and metrics, and how it stops.
package program

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long anything may take that is bound to happen.
const patience = 30 * time.Second

// binary is built once for all tests.
var built struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("KBROKER_BIN") == "" && built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

func kbroker(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv("KBROKER_BIN"); built.path != "" {
			return
		}
		var dir string
		if dir, built.err = os.MkdirTemp("", "kbroker"); built.err != nil {
			return
		}
		built.path = filepath.Join(dir, "kbroker")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built.path, "github.com/kbroker/kbroker/cmd/kbroker").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building the broker: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// invocation is a command line with its surroundings.
type invocation struct {
	args []string
	env  []string // NAME=VALUE
	dir  string   // the working directory; a folder of the test's where empty
	// files is how many descriptors the process may have; 0 is as many as the test.
	files int
}

func (i invocation) command(t *testing.T) *exec.Cmd {
	t.Helper()
	if i.dir == "" {
		i.dir = t.TempDir()
	}
	cmd := exec.CommandContext(context.Background(), kbroker(t), i.args...)
	if i.files > 0 {
		cmd = exec.CommandContext(context.Background(), "sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(i.files), kbroker(t)}, i.args...)...)
	}
	cmd.Dir = i.dir
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KAFKA_") && !strings.HasPrefix(e, "KBROKER_") && !strings.HasPrefix(e, "CLUSTER_ID=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, i.env...)
	return cmd
}

// finish runs a command line to its end, which must come by itself.
func (i invocation) finish(t *testing.T) (code int, stdout, stderr string) {
	t.Helper()
	cmd := i.command(t)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // the exit code says how
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// process is a running broker.
type process struct {
	cmd   *exec.Cmd
	log   *lines
	ended chan struct{}
	addrs []string // Kafka's, as it says once it is ready
	http  string
}

// launch starts a process and waits for nothing.
func (i invocation) launch(t *testing.T) *process {
	t.Helper()
	p := &process{cmd: i.command(t), log: newLines(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the exit code says how
		p.log.close()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the broker said:\n%s", p.log)
		}
	})
	return p
}

// start starts a process and waits until it says that it is ready.
func (i invocation) start(t *testing.T) *process {
	t.Helper()
	p := i.launch(t)
	line := p.log.await(t, "ready listen=")
	for _, f := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(f, "listen="); ok {
			p.addrs = strings.Split(v, ",")
		}
		if v, ok := strings.CutPrefix(f, "http="); ok {
			p.http = v
		}
	}
	return p
}

// start starts a broker in memory on free ports of 127.0.0.1; further arguments win.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	given := []string{"--http", "127.0.0.1:0", "--data-dir", "memory:", "--memory-budget", "64MiB"}
	if !slices.Contains(args, "--listen") { // it adds up
		given = append(given, "--listen", "127.0.0.1:0")
	}
	return invocation{args: append(given, args...)}.start(t)
}

// end sends a signal and gives the exit code, -1 where the signal ended the process.
func (p *process) end(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return p.await(t)
}

func (p *process) await(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("it is still running:\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// lines is what a process says, line by line.
type lines struct {
	mu      sync.Mutex
	changed sync.Cond
	text    bytes.Buffer
	closed  bool
}

func newLines() *lines {
	l := &lines{}
	l.changed.L = &l.mu
	return l
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
	return l.text.Write(p)
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// with lists the lines that have a text in them.
func (l *lines) with(text string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// await waits for a line with a text in it.
func (l *lines) await(t *testing.T, text string) string {
	t.Helper()
	late := time.AfterFunc(patience, l.close)
	defer late.Stop()
	for {
		if found := l.with(text); len(found) > 0 {
			return found[0]
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			t.Fatalf("no line with %q in:\n%s", text, l)
		}
		if !bytes.Contains(l.text.Bytes(), []byte(text)) {
			l.changed.Wait()
		}
		l.mu.Unlock()
	}
}

// freePort is a port that was free a moment ago, on both families.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.MetadataMinAge(20 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// get asks over HTTP and gives status and body; status 0 where nobody answers.
func get(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// conn is one connection, on which requests are sent and answers read by hand.
type conn struct {
	net.Conn
	t    *testing.T
	sent int32
}

func dial(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(within(t), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, c)
}

func over(t *testing.T, c net.Conn) *conn {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &conn{Conn: c, t: t}
}

func (c *conn) send(r kmsg.Request) {
	c.t.Helper()
	c.sent++
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("program")).AppendRequest(nil, r, c.sent)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to a request.
func (c *conn) receive(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	resp, err := c.read(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *conn) read(r kmsg.Request) (kmsg.Response, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	resp := r.ResponseKind()
	b = b[4:]
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		b = b[1:] // no tags
	}
	return resp, resp.ReadFrom(b)
}

func (c *conn) ask(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(r)
	return c.receive(r)
}
