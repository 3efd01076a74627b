// Package java runs Apache Kafka's own command-line tools against the built broker. They come from Maven Central by ordinary
// dependency resolution (../kafka.sh); where there is no java or mvn the tests are skipped with a message.
package java

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
)

// toolLimit is for one tool, the first download of Kafka's libraries included.
const toolLimit = 5 * time.Minute

// tool runs one of Kafka's tools and gives what it printed.
func tool(t *testing.T, input, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../kafka.sh", append([]string{"tool", name}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s\n%s", name, err, errs.String(), out.String())
	}
	return out.String(), err
}

// must is tool where it has to succeed.
func must(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	out, err := tool(t, input, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func broker(t *testing.T, args ...string) *proc.Broker {
	t.Helper()
	for _, c := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("no %s on this machine: Kafka's own tools can't run", c)
		}
	}
	return proc.Start(t, args...)
}

func matches(t *testing.T, what, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?s)` + pattern).MatchString(got) {
		t.Errorf("%s printed\n%s\nwant a match of %s", what, got, pattern)
	}
}

func TestKafkaTopics_ACC_10_META_23_META_26_META_35(t *testing.T) {
	b := broker(t)
	at := []string{"--bootstrap-server", b.Addr}
	run := func(args ...string) (string, error) { return tool(t, "", "kafka-topics", append(at, args...)...) }
	out, err := run("--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=3600000")
	if err != nil {
		t.Fatal(err)
	}
	matches(t, "create", out, "Created topic orders")
	if out, err = run("--create", "--topic", "orders"); err == nil {
		t.Error("the topic was created twice")
	}
	matches(t, "create again", fmt.Sprint(out, err), "Topic 'orders' already exists")
	out, err = run("--describe", "--topic", "orders")
	if err != nil {
		t.Fatal(err)
	}
	matches(t, "describe", out, `Topic: orders\s+TopicId: \S{22}\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention.ms=3600000.*Partition: 2\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+`)
	if _, err = run("--alter", "--topic", "orders", "--partitions", "5"); err != nil {
		t.Error(err)
	}
	if out, err = run("--alter", "--topic", "orders", "--partitions", "2"); err == nil {
		t.Error("the number of partitions was lowered")
	}
	matches(t, "alter", fmt.Sprint(out, err), `The topic orders currently has 5 partition\(s\); 2 would not be an increase`)
	if _, err = run("--delete", "--topic", "orders"); err != nil {
		t.Error(err)
	}
	if out, err = run("--list"); err != nil || strings.Contains(out, "orders") {
		t.Errorf("list after delete: %q, %v", out, err)
	}
}

func TestConsoleProducerAndConsumer_ACC_03(t *testing.T) {
	b := broker(t, "--topic", "console:2")
	var in strings.Builder
	for i := range 100 {
		fmt.Fprintf(&in, "k%d:value %d\n", i%7, i)
	}
	must(t, in.String(), "kafka-console-producer", "--bootstrap-server", b.Addr, "--topic", "console",
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--compression-codec", "zstd")
	b.Kill()
	b.Restart(t)
	out := must(t, "", "kafka-console-consumer", "--bootstrap-server", b.Addr, "--topic", "console", "--from-beginning", "--max-messages", "100",
		"--group", "console-group", "--formatter-property", "print.key=true", "--timeout-ms", "30000")
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		seen[strings.TrimSpace(line)] = true
	}
	for i := range 100 {
		if want := fmt.Sprintf("k%d\tvalue %d", i%7, i); !seen[want] {
			t.Errorf("%q wasn't read", want)
		}
	}
	out = must(t, "", "kafka-consumer-groups", "--bootstrap-server", b.Addr, "--describe", "--group", "console-group")
	matches(t, "consumer groups", out, `console-group\s+console\s+[01]\s+\d+\s+\d+\s+0\s`)
	out = must(t, "", "kafka-consumer-groups", "--bootstrap-server", b.Addr, "--list")
	matches(t, "list", out, `console-group`)
	out = must(t, "", "kafka-consumer-groups", "--bootstrap-server", b.Addr, "--reset-offsets", "--group", "console-group", "--topic", "console", "--to-earliest", "--execute")
	matches(t, "reset", out, `console-group\s+console\s+0\s+0\s`)
	out = must(t, "", "kafka-consumer-groups", "--bootstrap-server", b.Addr, "--delete", "--group", "console-group")
	matches(t, "delete", out, `was successful`)
	out = must(t, "", "kafka-get-offsets", "--bootstrap-server", b.Addr, "--topic", "console")
	matches(t, "get-offsets", out, `console:0:\d+\s+console:1:\d+`)
}

func TestPerfTools_ACC_10(t *testing.T) {
	b := broker(t, "--topic", "perf:3")
	out := must(t, "", "kafka-producer-perf-test", "--topic", "perf", "--num-records", "20000", "--record-size", "200", "--throughput", "-1",
		"--bootstrap-server", b.Addr, "--command-property", "acks=all")
	matches(t, "producer-perf-test", out, `20000 records sent`)
	out = must(t, "", "kafka-consumer-perf-test", "--bootstrap-server", b.Addr, "--topic", "perf", "--num-records", "20000", "--command-property", "auto.offset.reset=earliest")
	matches(t, "consumer-perf-test", out, `, 20000, `)
}

func TestConfigsAndBrokerApiVersions_CFGAPI_02_AV_02(t *testing.T) {
	b := broker(t, "--topic", "conf")
	at := []string{"--bootstrap-server", b.Addr}
	must(t, "", "kafka-configs", append(at, "--alter", "--entity-type", "topics", "--entity-name", "conf", "--add-config", "max.message.bytes=2000")...)
	out := must(t, "", "kafka-configs", append(at, "--describe", "--entity-type", "topics", "--entity-name", "conf")...)
	matches(t, "kafka-configs", out, `max.message.bytes=2000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000, DEFAULT_CONFIG:message.max.bytes=1048588\}`)
	out, err := tool(t, "", "kafka-configs", append(at, "--alter", "--entity-type", "topics", "--entity-name", "conf", "--add-config", "retention.ms=abc")...)
	if err == nil {
		t.Error("a bad value was accepted")
	}
	matches(t, "kafka-configs", fmt.Sprint(out, err), `Invalid value abc for configuration retention.ms: Not a number of type LONG`)
	out = must(t, "", "kafka-broker-api-versions", at...)
	matches(t, "broker-api-versions", out, `Produce\(0\): 0 to 13 .*Fetch\(1\): 4 to 18 `)
}
