// Command kdiff compares a Kafka-protocol broker with Apache Kafka, request by
// request. See README.md.
package main

import (
	"flag"
	"os"

	"github.com/kbroker/kbroker/compat-tests/kdiff/cases"
	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

func main() {
	os.Exit(diff.Main(flag.NewFlagSet("kdiff", flag.ContinueOnError), os.Args[1:], cases.All))
}
