package program

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// setting is a broker setting's effective value.
func setting(t *testing.T, cl *kgo.Client, name string) string {
	t.Helper()
	rs, err := kadm.NewClient(cl).DescribeBrokerConfigs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rs[0].Configs {
		if c.Key == name {
			return c.MaybeValue()
		}
	}
	t.Fatalf("there is no setting %s", name)
	return ""
}

func TestProfiles(t *testing.T) {
	tests := []struct {
		profile, durability, autoCreate, delay string
	}{
		{"dev", "os", "true", "0"},
		{"production", "fsync", "false", "3000"},
	}
	for _, tt := range tests {
		t.Run(tt.profile, func(t *testing.T) {
			p := start(t, "--profile", tt.profile)
			if ready := p.log.with("msg=ready")[0]; !strings.Contains(ready, "profile="+tt.profile) || !strings.Contains(ready, "durability="+tt.durability) {
				t.Errorf("it says %q", ready)
			}
			cl := client(t, p.addrs[0], kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
			if got := setting(t, cl, "auto.create.topics.enable"); got != tt.autoCreate {
				t.Errorf("auto.create.topics.enable is %s", got)
			}
			if got := setting(t, cl, "group.initial.rebalance.delay.ms"); got != tt.delay {
				t.Errorf("group.initial.rebalance.delay.ms is %s", got)
			}
			dev := tt.profile == "dev"
			err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "auto", Value: []byte("x")}).FirstErr()
			if dev && err != nil || !dev && !errors.Is(err, kerr.UnknownTopicOrPartition) {
				t.Errorf("a produce to a new topic: %v", err)
			}
			r, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 3, nil, "replicated")
			if dev && (err != nil || r.ReplicationFactor != 1) || !dev && !errors.Is(err, kerr.InvalidReplicationFactor) {
				t.Errorf("a topic with three replicas: %+v, %v", r, err)
			}
			if dev {
				p.log.await(t, "fewer replicas")
			}
			clamped := p.log.with("fewer replicas")
			if dev && (len(clamped) != 1 || !strings.Contains(clamped[0], "topic=replicated") || !strings.Contains(clamped[0], "asked=3")) || !dev && len(clamped) > 0 {
				t.Errorf("it says of replicas: %q", clamped)
			}
		})
	}
}

func TestProfiles_what_is_set_wins(t *testing.T) {
	p := start(t, "--profile", "production", "--durability", "os", "--set", "auto.create.topics.enable=true", "--set", "group.initial.rebalance.delay.ms=7")
	cl := client(t, p.addrs[0], kgo.AllowAutoTopicCreation())
	if got := setting(t, cl, "group.initial.rebalance.delay.ms"); got != "7" {
		t.Errorf("group.initial.rebalance.delay.ms is %s", got)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "auto", Value: []byte("x")}).FirstErr(); err != nil {
		t.Error(err)
	}
	if ready := p.log.with("msg=ready")[0]; !strings.Contains(ready, "durability=os") {
		t.Errorf("it says %q", ready)
	}
}

// A memory budget that is spent: produces fail with one line in the log, all else goes on, and a deleted topic gives the memory back.
func TestMemory_is_bounded(t *testing.T) {
	p := start(t, "--memory-budget", "32MiB", "--topic", "big:1", "--topic", "other:1")
	c := dial(t, p.addrs[0])
	value := make([]byte, 900<<10)
	n, code := 0, int16(0)
	for ; code == 0 && n < 200; n++ {
		code = errorOf(c.ask(produceOf(t, "big", 1, value)))
	}
	if n--; code != kerr.KafkaStorageError.Code || n < 20 || n > 40 {
		t.Fatalf("%d records of 900 KiB, then error %d", n, code)
	}
	for range 50 {
		if code := errorOf(c.ask(produceOf(t, "big", 1, value))); code != kerr.KafkaStorageError.Code {
			t.Fatalf("error %d", code)
		}
	}
	p.log.await(t, "memory budget is spent")
	cl := client(t, p.addrs[0], kgo.ConsumeTopics("big"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for read := 0; read < n; {
		f := cl.PollFetches(within(t))
		if err := f.Err(); err != nil {
			t.Fatalf("after %d records: %v", read, err)
		}
		read += f.NumRecords()
	}
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), 3, 1, nil, "new"); err != nil {
		t.Errorf("a new topic: %v", err)
	}
	if said := p.log.with("memory budget is spent"); len(said) != 1 || !strings.Contains(said[0], "--memory-budget") || !strings.Contains(said[0], "level=WARN") {
		t.Errorf("it says:\n%s", strings.Join(said, "\n"))
	}
	if _, err := admin.DeleteTopic(t.Context(), "big"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if code := errorOf(c.ask(produceOf(t, "other", 1, value))); code != 0 {
			t.Fatalf("after the topic was deleted, produce %d got error %d", i, code)
		}
	}
	p.log.await(t, "there is memory for records again")
}
