// Package readme runs what the README tells a new user to copy, against the built broker.
package readme

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
)

// limit is for one snippet, what it installs included.
const limit = 5 * time.Minute

// snippet gives the README's block in a language, with the broker's address in the place of localhost:9092.
func snippet(t *testing.T, b *proc.Broker, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("the README has no block in %s", language)
	}
	return strings.ReplaceAll(string(m[1]), "localhost:9092", b.Addr)
}

// run runs a program in a folder and gives what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s on this machine", p)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func prints(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("printed %q, want %q in it", got, want)
	}
}

func TestKcat(t *testing.T) {
	b := proc.Start(t)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "kcat -b ") {
			continue
		}
		out := run(t, ".", "bash", "-c", strings.ReplaceAll(line, "localhost:9092", b.Addr))
		if strings.Contains(line, " -C ") {
			prints(t, out, "hello")
			return
		}
	}
	t.Error("the README doesn't read with kcat")
}

func TestGo(t *testing.T) {
	b := proc.Start(t)
	dir, err := os.MkdirTemp(".", "snippet") // in this module, which has franz-go
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "main.go"), snippet(t, b, "go"))
	prints(t, run(t, dir, "go", "run", "."), "hello from Go")
}

func TestJava(t *testing.T) {
	needs(t, "java", "javac", "mvn")
	b := proc.Start(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Greetings.java"), snippet(t, b, "java"))
	classpath := strings.TrimSpace(run(t, "..", "./kafka.sh", "classpath")) + ":" + dir
	run(t, dir, "javac", "-cp", classpath, "Greetings.java")
	prints(t, run(t, dir, "java", "-cp", classpath, "Greetings"), "hello from Java")
}

func TestPython(t *testing.T) {
	needs(t, "python3")
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import ensurepip").Run(); err != nil {
		t.Skip("this machine's python3 can't make virtual environments")
	}
	b := proc.Start(t)
	dir := t.TempDir()
	run(t, dir, "python3", "-m", "venv", "v")
	run(t, dir, "v/bin/pip", "install", "-q", "confluent-kafka")
	write(t, filepath.Join(dir, "greetings.py"), snippet(t, b, "python"))
	prints(t, run(t, dir, "v/bin/python", "greetings.py"), "hello from Python")
}
