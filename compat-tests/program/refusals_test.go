package program

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func hold(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// refused says that a command line must fail with one line on standard error.
func refused(t *testing.T, i invocation, code int, wants ...string) {
	t.Helper()
	got, out, errOut := i.finish(t)
	if got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	if out != "" || strings.Count(errOut, "\n") != 1 || !strings.HasSuffix(errOut, "\n") || !strings.HasPrefix(errOut, "kbroker: ") {
		t.Errorf("standard output has %q and standard error %q, want one line there", out, errOut)
	}
	for _, want := range wants {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q isn't in %q", want, errOut)
		}
	}
}

func TestRefusals_are_one_line_that_names_the_setting_and_what_is_allowed(t *testing.T) {
	taken := hold(t)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"bad.properties": "num.partitions=many\n", "unknown.properties": "num.partitionz=1\n", "bad.yaml": "listen: [", "unknown.yaml": "listne: x\n", "file": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		args  []string
		env   []string
		code  int
		wants []string
	}{
		{"unknown property, flag", []string{"--set", "log.retention.mz=1"}, nil, 1, []string{"--set", `"log.retention.mz"`, `"log.retention.ms"`}},
		{"unknown property, nothing like it", []string{"--set", "nope=1"}, nil, 1, []string{"--set", `"nope"`, "allowed"}},
		{"unknown property, environment", nil, []string{"KAFKA_LOG_RETENTON_MS=1"}, 1, []string{"KAFKA_LOG_RETENTON_MS", `"log.retention.ms"`}},
		{"unknown property, file", []string{"--config", "unknown.properties"}, nil, 1, []string{"unknown.properties", `"num.partitions"`}},
		{"unknown setting, YAML", []string{"--config", "unknown.yaml"}, nil, 1, []string{"unknown.yaml", `"listne"`, "allowed"}},
		{"unknown setting, environment", nil, []string{"KBROKER_LISTNE=x"}, 1, []string{"KBROKER_LISTNE", "KBROKER_LISTEN"}},
		{"bad value, flag", []string{"--set", "log.retention.ms=soon"}, nil, 1, []string{"--set", "soon", "log.retention.ms", "allowed: long"}},
		{"bad value, environment", nil, []string{"KAFKA_NUM_PARTITIONS=0"}, 1, []string{"KAFKA_NUM_PARTITIONS", "num.partitions", "allowed"}},
		{"bad value, file", []string{"--config", "bad.properties"}, nil, 1, []string{"bad.properties", "num.partitions", "allowed"}},
		{"values that don't fit together", []string{"--set", "group.min.session.timeout.ms=9999999"}, nil, 1, []string{"group.min.session.timeout.ms", "allowed"}},
		{"profile", []string{"--profile", "fast"}, nil, 1, []string{"--profile", "dev, production"}},
		{"profile, environment", nil, []string{"KBROKER_PROFILE=fast"}, 1, []string{"KBROKER_PROFILE", "dev, production"}},
		{"durability", []string{"--durability", "yes"}, nil, 1, []string{"--durability", "os, fsync"}},
		{"budget", []string{"--memory-budget", "1k"}, nil, 1, []string{"--memory-budget", "16 MiB"}},
		{"topic", []string{"--topic", "a:0"}, nil, 1, []string{"--topic", "from 1 to"}},
		{"topic's name", []string{"--topic", "a/b"}, nil, 1, []string{"--topic", "allowed"}},
		{"node", []string{"--node-id", "-1"}, nil, 1, []string{"--node-id", "allowed"}},
		{"cluster", nil, []string{"CLUSTER_ID=a b"}, 1, []string{"CLUSTER_ID", "allowed"}},
		{"address", []string{"--listen", "here"}, nil, 1, []string{"--listen", "HOST:PORT"}},
		{"advertised", []string{"--advertise", "0.0.0.0:9092"}, nil, 1, []string{"--advertise", "allowed: auto or HOST:PORT"}},
		{"no YAML", []string{"--config", "bad.yaml"}, nil, 1, []string{"bad.yaml", "YAML"}},
		{"no such file", []string{"--config", "none"}, nil, 1, []string{"--config", "none"}},
		{"Kafka's port is in use", []string{"--listen", taken}, nil, 1, []string{"--listen", taken, "in use", "allowed"}},
		{"Kafka's port is in use, by property", nil, []string{"KAFKA_LISTENERS=PLAINTEXT://" + taken}, 1, []string{"KAFKA_LISTENERS", taken, "in use", "allowed"}},
		{"the HTTP port is in use", []string{"--http", taken}, nil, 1, []string{"http", taken, "in use", "allowed"}},
		{"no address of this machine", []string{"--listen", "192.0.2.1:9092"}, nil, 1, []string{"--listen", "192.0.2.1:9092", "allowed"}},
		{"the data directory is a file", []string{"--data-dir", "file"}, nil, 1, []string{"data-dir", "file"}},
		{"two voters", []string{"--set", "controller.quorum.voters=1@a:1,2@b:1"}, nil, 1, []string{"controller.quorum.voters", "allowed: one"}},
		{"TLS", nil, []string{"KAFKA_LISTENERS=SSL://127.0.0.1:0"}, 1, []string{"KAFKA_LISTENERS", "SSL", "allowed: PLAINTEXT"}},
		{"usage: unknown flag", []string{"--nope"}, nil, 2, []string{"--nope", "--help"}},
		{"usage: unknown command", []string{"serve"}, nil, 2, []string{`"serve"`, "--help"}},
		{"usage: no argument", []string{"--listen"}, nil, 2, []string{"--listen", "--help"}},
		{"usage: argument of a command", []string{"version", "now"}, nil, 2, []string{`"now"`, "--help"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// What isn't under test works; the flags of the case come later and win.
			args := []string{"--http", "off", "--data-dir", "data"}
			if !strings.Contains(strings.Join(tt.env, ""), "KAFKA_LISTENERS") {
				args = append(args, "--listen", "127.0.0.1:0")
			}
			if tt.args != nil && tt.args[0] == "--listen" {
				args = args[:4]
			}
			refused(t, invocation{args: append(args, tt.args...), env: tt.env, dir: dir}, tt.code, tt.wants...)
			if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
				t.Error("a data directory was left behind")
			}
		})
	}
}

func TestRefusals_a_data_directory_that_is_in_use_or_another_s(t *testing.T) {
	dir := t.TempDir()
	on := func(args ...string) invocation {
		return invocation{args: append([]string{"--listen", "127.0.0.1:0", "--http", "off", "--data-dir", "data"}, args...), dir: dir}
	}
	p := on().start(t)
	refused(t, on(), 1, "data-dir", "data", "in use by another process", "allowed")
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	refused(t, on("--node-id", "7"), 1, "data-dir", "another node", "node 1's", "node 7", "allowed")
	foreign := on()
	foreign.env = []string{"CLUSTER_ID=4L6g3nShT-eMCtK--X86sw"}
	refused(t, foreign, 1, "data-dir", "another cluster", "4L6g3nShT-eMCtK--X86sw", "allowed")
	if _, err := os.Stat(filepath.Join(dir, "data", ".kafka_cleanshutdown")); err != nil {
		t.Errorf("those that were refused took the mark of a clean stop: %v", err)
	}
	// The lock is free again, after SIGTERM and after kill -9.
	on().start(t).end(t, syscall.SIGKILL)
	on().start(t)
}

func TestRefusals_a_start_that_fails_late_leaves_the_directory_clean_and_unlocked(t *testing.T) {
	dir := t.TempDir()
	on := func(args ...string) invocation {
		return invocation{args: append([]string{"--listen", "127.0.0.1:0", "--http", "off", "--data-dir", "data"}, args...), dir: dir}
	}
	on().start(t).end(t, syscall.SIGTERM)
	// Names that differ in '.' and '_' collide (Kafka's rule), which only the controller finds out.
	code, _, errOut := on("--topic", "a.b", "--topic", "a_b").finish(t)
	if last := errOut[strings.LastIndexByte(strings.TrimSpace(errOut), '\n')+1:]; code != 1 || !strings.HasPrefix(last, "kbroker: topic: can't create \"a_b\"") {
		t.Errorf("exit code %d, %q", code, last)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	on().start(t)
}
