package program

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The port refuses until a produce succeeds: whoever gets in first can produce.
func TestReady_the_first_connection_can_produce(t *testing.T) {
	dir := t.TempDir()
	addr, http := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	i := invocation{args: []string{"--listen", addr, "--http", http, "--data-dir", "data", "--topic", "t:1"}, dir: dir}
	for n := range 50 {
		i.args = append(i.args, "--topic", fmt.Sprintf("other%d:10", n))
	}
	for _, life := range []string{"a new cluster", "after kill -9", "after kill -9 again"} {
		p := i.launch(t)
		refusals := 0
		var c net.Conn
		for deadline := time.Now().Add(patience); ; refusals++ {
			var err error
			if c, err = new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: no connection: %v\n%s", life, err, p.log)
			}
		}
		r := produceOf(t, "t", -1, []byte(life))
		if code := errorOf(over(t, c).ask(r)); code != 0 {
			t.Errorf("%s: the first produce got error %d", life, code)
		}
		if refusals == 0 {
			t.Errorf("%s: the port was open before the process was there", life)
		}
		p.end(t, syscall.SIGKILL)
	}
}

// Whenever /ready says yes the port is open, and until then it says no or nothing.
func TestReady_over_HTTP_comes_after_the_port(t *testing.T) {
	addr, http := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	i := invocation{args: []string{"--listen", addr, "--http", http, "--data-dir", "memory:"}}
	for n := range 50 {
		i.args = append(i.args, "--topic", fmt.Sprintf("t%d:10", n))
	}
	p := i.launch(t)
	seen := map[int]int{}
	for deadline := time.Now().Add(patience); ; {
		status, body := get(t, "GET", "http://"+http+"/ready", "")
		seen[status]++
		if status == 200 {
			break
		}
		if status != 0 && status != 503 || time.Now().After(deadline) {
			t.Fatalf("/ready answers %d %s\n%s", status, body, p.log)
		}
	}
	if code := errorOf(dial(t, addr).ask(produceOf(t, "t0", 1, []byte("x")))); code != 0 {
		t.Errorf("a produce once /ready said yes got error %d", code)
	}
	if status, _ := get(t, "GET", "http://"+http+"/live", ""); status != 200 {
		t.Errorf("/live answers %d", status)
	}
}

func TestHealthcheck_says_whether_the_broker_is_ready(t *testing.T) {
	addr, http := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	check := func(args ...string) (code int, errOut string) {
		t.Helper()
		code, out, errOut := invocation{args: append([]string{"healthcheck"}, args...)}.finish(t)
		if out != "" {
			t.Errorf("it prints %q", out)
		}
		return code, errOut
	}
	over := map[string][]string{"HTTP": {"--http", http}, "Kafka": {"--http", "off", "--listen", addr}}
	for name, args := range over {
		if code, errOut := check(args...); code != 1 || strings.Count(errOut, "\n") != 1 {
			t.Errorf("over %s before the start: exit code %d, %q", name, code, errOut)
		}
	}
	p := start(t, "--listen", addr, "--http", http)
	for name, args := range over {
		if code, errOut := check(args...); code != 0 || errOut != "" {
			t.Errorf("over %s: exit code %d, %q", name, code, errOut)
		}
	}
	// As in a container: the settings of the broker are in the environment.
	if code, _, errOut := (invocation{args: []string{"healthcheck"}, env: []string{"KBROKER_HTTP=0.0.0.0:" + http[strings.LastIndexByte(http, ':')+1:]}}).finish(t); code != 0 {
		t.Errorf("with the environment of a container: exit code %d, %q", code, errOut)
	}
	p.end(t, syscall.SIGTERM)
	for name, args := range over {
		if code, _ := check(args...); code != 1 {
			t.Errorf("over %s after the stop: exit code %d", name, code)
		}
	}
	if code, _ := check("--nope"); code != 2 {
		t.Errorf("usage: exit code %d", code)
	}
}
