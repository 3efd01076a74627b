// Package proc runs the built broker as a process of its own, for tests with real clients.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a broker may take until its port answers; a broker that takes longer is broken.
const startLimit = 30 * time.Second

// Broker is one broker: a data directory and an address that stay, and a process that may come and go.
type Broker struct {
	Addr string // Kafka's port
	HTTP string
	Dir  string

	bin  string
	args []string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// Binary is the broker to test: $KBROKER_BIN, or one built for this test run.
func Binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("KBROKER_BIN"); bin != "" {
		return bin
	}
	bin := t.TempDir() + "/kbroker"
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/kbroker/kbroker/cmd/kbroker").CombinedOutput()
	if err != nil {
		t.Fatalf("building the broker: %v\n%s", err, out)
	}
	return bin
}

// Start runs a broker on free ports of 127.0.0.1 with its data in a folder of the test. It is stopped when the test ends.
func Start(t testing.TB, args ...string) *Broker {
	t.Helper()
	b := &Broker{Addr: freeAddr(t), HTTP: freeAddr(t), Dir: t.TempDir(), bin: Binary(t), args: args}
	b.Restart(t)
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			t.Logf("the broker's last lines:\n%s", b.log)
		}
	})
	return b
}

// Restart starts the process again, on the same address and data, and waits until it is ready.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.Up(); err != nil {
		t.Fatal(err)
	}
}

// Up is Restart for goroutines that may not end the test.
func (b *Broker) Up() error {
	args := append([]string{"--listen", b.Addr, "--http", b.HTTP, "--data-dir", b.Dir}, b.args...)
	b.cmd = exec.CommandContext(context.Background(), b.bin, args...)
	if b.log == nil {
		b.log = &tail{}
	}
	b.cmd.Stderr, b.cmd.Stdout = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	b.done = done
	go func() {
		defer close(done)
		_ = b.cmd.Wait() // how it ended is in its state
	}()
	deadline := time.Now().Add(startLimit)
	for {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", b.Addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-done:
			return fmt.Errorf("the broker ended at its start:\n%s", b.log)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the broker isn't up after %s: %w\n%s", startLimit, err, b.log)
		}
	}
}

// Kill ends the process as a power switch would (SIGKILL).
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Stop asks the process to end (SIGTERM), waits and gives its exit code.
func (b *Broker) Stop() int { return b.end(syscall.SIGTERM) }

func (b *Broker) end(sig syscall.Signal) int {
	if err := b.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1
	}
	<-b.done
	return b.cmd.ProcessState.ExitCode()
}

// Pid is the process id.
func (b *Broker) Pid() int { return b.cmd.Process.Pid }

// Output is the end of what the broker printed.
func (b *Broker) Output() string { return b.log.String() }

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// tail keeps the last lines that a process printed.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if n := t.buf.Len(); n > 2*tailBytes {
		t.buf.Next(n - tailBytes)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
