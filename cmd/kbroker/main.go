// Command kbroker is the broker: kbroker runs it, kbroker config shows what it is set to, kbroker healthcheck says whether it is ready.
//
// Exit codes: 0 after a clean stop, 1 where something went wrong (one line on standard error says what), 2 where the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/kbroker/kbroker/broker"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		again := <-signals
		fmt.Fprintf(os.Stderr, "kbroker: ended at once by a second signal (%v); the next start recovers\n", again)
		os.Exit(1)
	}()
	p := program{out: os.Stdout, errOut: os.Stderr, runBroker: broker.Run, version: version}
	os.Exit(p.main(ctx, os.Args[1:]))
}

// main runs the command line and gives the exit code.
func (p program) main(ctx context.Context, args []string) int {
	err := p.run(ctx, args)
	if err == nil {
		return 0
	}
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(p.errOut, "kbroker: %s; kbroker --help says what is allowed\n", oneLine(err))
		return 2
	}
	fmt.Fprintf(p.errOut, "kbroker: %s\n", oneLine(err))
	return 1
}

// program is the command line with what it needs from outside.
type program struct {
	out, errOut io.Writer
	runBroker   brokerFunc
	version     string
}
