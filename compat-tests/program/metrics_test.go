package program

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics are the samples of /metrics by name and labels.
func metrics(t *testing.T, p *process) map[string]float64 {
	t.Helper()
	status, body := get(t, "GET", "http://"+p.http+"/metrics", "")
	if status != 200 {
		t.Fatalf("/metrics answers %d %s", status, body)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		samples[line[:i]] = v
	}
	return samples
}

// awaitMetric asks until a sample is as wanted.
func awaitMetric(t *testing.T, p *process, name string, wanted func(float64) bool) {
	t.Helper()
	var v float64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if v = metrics(t, p)[name]; wanted(v) {
			return
		}
	}
	t.Fatalf("%s is %v", name, v)
}

func TestMetrics_show_the_traffic_that_there_was(t *testing.T) {
	p := start(t, "--topic", "t:2", "--topic", "idle:1")
	cl := client(t, p.addrs[0], kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition, n := range []int{10, 5} {
		for range n {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: int32(partition), Value: []byte("0123456789")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	consumer := client(t, p.addrs[0], kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	for n := 0; n < 15; {
		f := consumer.PollFetches(within(t))
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		n += f.NumRecords()
	}
	commit := map[string]map[int32]kgo.EpochOffset{"t": {0: {Epoch: -1, Offset: 4}, 1: {Epoch: -1, Offset: 5}}}
	committed := make(chan error, 1)
	consumer.CommitOffsetsSync(within(t), commit, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		committed <- err
	})
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	// A request that fails.
	c := dial(t, p.addrs[0])
	if code := errorOf(c.ask(produceOf(t, "none", 1, []byte("x")))); code != 3 {
		t.Fatalf("error %d", code)
	}

	got := metrics(t, p)
	for name, want := range map[string]float64{
		"kafka_brokers":                     1,
		`kafka_topic_partitions{topic="t"}`: 2,
		`kafka_topic_partition_current_offset{partition="0",topic="t"}`:                 10,
		`kafka_topic_partition_current_offset{partition="1",topic="t"}`:                 5,
		`kafka_topic_partition_oldest_offset{partition="0",topic="t"}`:                  0,
		`kafka_topic_partition_leader{partition="0",topic="t"}`:                         1,
		`kafka_topic_partition_in_sync_replica{partition="0",topic="t"}`:                1,
		`kafka_topic_partition_replicas{partition="0",topic="t"}`:                       1,
		`kafka_topic_partition_leader_is_preferred{partition="0",topic="t"}`:            1,
		`kafka_topic_partition_under_replicated_partition{partition="0",topic="t"}`:     0,
		`kbroker_log_end_offset{partition="0",topic="t"}`:                               10,
		`kbroker_topic_messages_in_total{topic="t"}`:                                    15,
		`kbroker_topic_messages_in_total{topic="idle"}`:                                 0,
		`kafka_consumergroup_members{consumergroup="g"}`:                                1,
		`kafka_consumergroup_current_offset{consumergroup="g",partition="0",topic="t"}`: 4,
		`kafka_consumergroup_current_offset{consumergroup="g",partition="1",topic="t"}`: 5,
		`kafka_consumergroup_current_offset_sum{consumergroup="g",topic="t"}`:           9,
		`kafka_consumergroup_lag{consumergroup="g",partition="0",topic="t"}`:            6,
		`kafka_consumergroup_lag{consumergroup="g",partition="1",topic="t"}`:            0,
		`kafka_consumergroup_lag_sum{consumergroup="g",topic="t"}`:                      6,
		`kbroker_consumergroups{state="Stable"}`:                                        1,
		`kbroker_requests_total{api="OffsetCommit",result="NONE"}`:                      1,
		`kbroker_memory_budget_bytes{budget="records"}`:                                 64 << 20,
		`kbroker_memory_budget_bytes{budget="requests"}`:                                16 << 20,
		`kbroker_metrics_left_out`:                                                      0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{
		`kbroker_requests_total{api="Produce",result="NONE"}`, `kbroker_requests_total{api="Produce",result="UNKNOWN_TOPIC_OR_PARTITION"}`, `kbroker_requests_total{api="Fetch",result="NONE"}`,
		`kbroker_request_duration_seconds_count{api="Produce"}`, `kbroker_request_duration_seconds_sum{api="Produce"}`, `kbroker_request_duration_seconds_bucket{api="Produce",le="+Inf"}`,
		`kbroker_request_bytes_total{api="Produce"}`, `kbroker_response_bytes_total{api="Fetch"}`,
		`kbroker_topic_bytes_in_total{topic="t"}`, `kbroker_topic_bytes_out_total{topic="t"}`, `kbroker_log_size_bytes{partition="0",topic="t"}`,
		"kbroker_connections", "kbroker_connections_accepted_total", `kbroker_memory_budget_used_bytes{budget="records"}`, "go_goroutines", "go_memstats_heap_inuse_bytes", "process_open_fds",
	} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if in, size := got[`kbroker_topic_bytes_in_total{topic="t"}`], got[`kbroker_log_size_bytes{partition="0",topic="t"}`]+got[`kbroker_log_size_bytes{partition="1",topic="t"}`]; in != size {
		t.Errorf("%v bytes went into the topic, and its logs have %v", in, size)
	}
	if in, out := got[`kbroker_topic_bytes_in_total{topic="t"}`], got[`kbroker_topic_bytes_out_total{topic="t"}`]; in != out {
		t.Errorf("%v bytes went into the topic, and %v out when it was read once", in, out)
	}
}
