package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(t *testing.T, deps Deps) *Server {
	t.Helper()
	s, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// metrics gives the lines of /metrics that are samples.
func metrics(t *testing.T, s *Server) []string {
	t.Helper()
	code, body := ask(t, s, http.MethodGet, "/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", code, body)
	}
	return slices.DeleteFunc(strings.Split(body, "\n"), func(l string) bool { return l == "" || l[0] == '#' })
}

func wantMetrics(t *testing.T, s *Server, want ...string) {
	t.Helper()
	got := metrics(t, s)
	for _, line := range want {
		if !slices.Contains(got, line) {
			name, _, _ := strings.Cut(line, "{")
			var near []string
			for _, l := range got {
				if strings.HasPrefix(l, strings.Fields(name)[0]) {
					near = append(near, l)
				}
			}
			t.Errorf("%s isn't there, but %v", line, near)
		}
	}
}

func TestServer_live_and_ready(t *testing.T) {
	ready := false
	s := newServer(t, Deps{Ready: func() bool { return ready }})
	if code, _ := ask(t, s, http.MethodGet, "/live", ""); code != http.StatusOK {
		t.Errorf("/live answers %d", code)
	}
	if code, _ := ask(t, s, http.MethodGet, "/ready", ""); code != http.StatusServiceUnavailable {
		t.Errorf("/ready answers %d before the broker is", code)
	}
	ready = true
	if code, _ := ask(t, s, http.MethodGet, "/ready", ""); code != http.StatusOK {
		t.Errorf("/ready answers %d", code)
	}
	if code, _ := ask(t, s, http.MethodPost, "/ready", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("POST /ready answers %d", code)
	}
	if code, _ := ask(t, s, http.MethodGet, "/nothing", ""); code != http.StatusNotFound {
		t.Errorf("/nothing answers %d", code)
	}
}

func TestMetrics_requests_by_API_and_result_with_latencies(t *testing.T) {
	s := newServer(t, Deps{Version: "1.2.3"})
	s.Observe(wire.Observation{Key: 0, Duration: 700 * time.Microsecond, BytesIn: 100, BytesOut: 30})
	s.Observe(wire.Observation{Key: 0, Duration: time.Millisecond, BytesIn: 1, BytesOut: 2})
	s.Observe(wire.Observation{Key: 0, Result: 3, Duration: time.Minute})
	s.Observe(wire.Observation{Key: 18, Result: 35, Duration: time.Microsecond})
	s.Observe(wire.Observation{Key: 1, Result: -1})
	s.Observe(wire.Observation{Key: 1, Result: 30000})
	s.Observe(wire.Observation{Key: -5})
	s.Observe(wire.Observation{Key: 30000})
	wantMetrics(t, s,
		`kbroker_requests_total{api="Produce",result="NONE"} 2`,
		`kbroker_requests_total{api="Produce",result="UNKNOWN_TOPIC_OR_PARTITION"} 1`,
		`kbroker_requests_total{api="ApiVersions",result="UNSUPPORTED_VERSION"} 1`,
		`kbroker_requests_total{api="Fetch",result="UNKNOWN_SERVER_ERROR"} 2`,
		`kbroker_request_duration_seconds_bucket{api="Produce",le="0.0005"} 0`,
		`kbroker_request_duration_seconds_bucket{api="Produce",le="0.001"} 2`,
		`kbroker_request_duration_seconds_bucket{api="Produce",le="30"} 2`,
		`kbroker_request_duration_seconds_bucket{api="Produce",le="+Inf"} 3`,
		`kbroker_request_duration_seconds_count{api="Produce"} 3`,
		`kbroker_request_bytes_total{api="Produce"} 101`,
		`kbroker_response_bytes_total{api="Produce"} 32`,
		`kbroker_build_info{version="1.2.3"} 1`,
	)
	for _, l := range metrics(t, s) {
		if strings.HasPrefix(l, "kbroker_requests_total") && !strings.Contains(l, "Produce") && !strings.Contains(l, "ApiVersions") && !strings.Contains(l, "Fetch") {
			t.Errorf("a request of no API is counted: %s", l)
		}
	}
}

func TestMetrics_concurrent_requests_are_all_counted(t *testing.T) {
	s := newServer(t, Deps{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				s.Observe(wire.Observation{Key: int16(i % 3), Duration: time.Duration(i) * time.Microsecond, BytesIn: 1})
			}
		})
	}
	wg.Wait()
	wantMetrics(t, s, `kbroker_request_duration_seconds_count{api="Produce"} 2672`, `kbroker_request_bytes_total{api="Fetch"} 2664`)
}

func TestObserve_costs_nothing_but_additions(t *testing.T) {
	s := newServer(t, Deps{})
	o := wire.Observation{Key: 0, Duration: time.Millisecond, BytesIn: 5, BytesOut: 5}
	s.Observe(o)
	if n := testing.AllocsPerRun(100, func() { s.Observe(o) }); n > 0 {
		t.Errorf("observing allocates %v times", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	s, err := New(Deps{})
	if err != nil {
		b.Fatal(err)
	}
	o := wire.Observation{Key: 0, Duration: 300 * time.Microsecond, BytesIn: 5, BytesOut: 5}
	for b.Loop() {
		s.Observe(o)
	}
}

// cluster is a small cluster with two groups.
type cluster struct{ partitions int }

func (cluster) Brokers() []Broker { return []Broker{{ID: 1, Address: "localhost:9092"}} }

func (cluster) EachTopic(fn func(Topic)) {
	fn(Topic{Name: "orders", Partitions: 2, MessagesIn: 7, BytesIn: 700, BytesOut: 1400})
}

func (c cluster) EachPartition(fn func(Partition)) {
	fn(Partition{Topic: "orders", Partition: 0, Leader: 1, PreferredLeader: 1, Replicas: 2, InSync: 1, Hosted: true, LogStartOffset: 10, HighWatermark: 50, LogEndOff: 60, SizeBytes: 4096})
	fn(Partition{Topic: "orders", Partition: 1, Leader: -1, PreferredLeader: 2, Replicas: 1, InSync: 1})
	for i := range c.partitions {
		fn(Partition{Topic: "many", Partition: int32(i)})
	}
}

func (cluster) EachGroup(fn func(Group)) {
	fn(Group{Name: "billing", State: "Stable", Members: 3, Offsets: []CommittedOffset{{"orders", 0, 45}, {"orders", 1, 5}, {"gone", 0, 9}}})
	fn(Group{Name: "idle", State: "Empty", Offsets: []CommittedOffset{{"orders", 0, -1}}})
	fn(Group{Name: "ahead", State: "Empty", Offsets: []CommittedOffset{{"orders", 0, 70}}})
}

func (cluster) Connections() ConnectionStats {
	return ConnectionStats{Open: 4, Accepted: 9, Refused: 2, ParkedRequests: 3}
}

func TestMetrics_topics_groups_connections_and_memory(t *testing.T) {
	c := cluster{}
	s := newServer(t, Deps{Topics: c, Groups: c, Connections: c, Budgets: []Budget{{"requests", func() (int64, int64) { return 5, 100 }}}})
	wantMetrics(t, s,
		`kafka_brokers 1`,
		`kafka_broker_info{address="localhost:9092",id="1"} 1`,
		`kafka_topic_partitions{topic="orders"} 2`,
		`kafka_topic_partition_current_offset{partition="0",topic="orders"} 50`,
		`kafka_topic_partition_oldest_offset{partition="0",topic="orders"} 10`,
		`kafka_topic_partition_leader{partition="0",topic="orders"} 1`,
		`kafka_topic_partition_leader{partition="1",topic="orders"} -1`,
		`kafka_topic_partition_leader_is_preferred{partition="0",topic="orders"} 1`,
		`kafka_topic_partition_leader_is_preferred{partition="1",topic="orders"} 0`,
		`kafka_topic_partition_replicas{partition="0",topic="orders"} 2`,
		`kafka_topic_partition_in_sync_replica{partition="0",topic="orders"} 1`,
		`kafka_topic_partition_under_replicated_partition{partition="0",topic="orders"} 1`,
		`kafka_topic_partition_under_replicated_partition{partition="1",topic="orders"} 0`,
		`kbroker_log_size_bytes{partition="0",topic="orders"} 4096`,
		`kbroker_log_end_offset{partition="0",topic="orders"} 60`,
		`kbroker_topic_messages_in_total{topic="orders"} 7`,
		`kbroker_topic_bytes_in_total{topic="orders"} 700`,
		`kbroker_topic_bytes_out_total{topic="orders"} 1400`,
		`kafka_consumergroup_members{consumergroup="billing"} 3`,
		`kafka_consumergroup_current_offset{consumergroup="billing",partition="0",topic="orders"} 45`,
		`kafka_consumergroup_current_offset_sum{consumergroup="billing",topic="orders"} 50`,
		`kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"} 5`,
		`kafka_consumergroup_lag{consumergroup="billing",partition="1",topic="orders"} -1`,
		`kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="gone"} -1`,
		`kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"} 5`,
		`kafka_consumergroup_lag{consumergroup="idle",partition="0",topic="orders"} -1`,
		`kafka_consumergroup_lag{consumergroup="ahead",partition="0",topic="orders"} 0`,
		`kbroker_consumergroups{state="Empty"} 2`,
		`kbroker_consumergroups{state="Stable"} 1`,
		`kbroker_connections 4`,
		`kbroker_connections_accepted_total 9`,
		`kbroker_connections_refused_total 2`,
		`kbroker_parked_requests 3`,
		`kbroker_memory_budget_used_bytes{budget="requests"} 5`,
		`kbroker_memory_budget_bytes{budget="requests"} 100`,
		`kbroker_metrics_left_out 0`,
	)
	if slices.ContainsFunc(metrics(t, s), func(l string) bool {
		return strings.HasPrefix(l, `kafka_topic_partition_current_offset{partition="1"`)
	}) {
		t.Error("a partition that isn't hosted has an offset")
	}
	if !slices.ContainsFunc(metrics(t, s), func(l string) bool { return strings.HasPrefix(l, "go_goroutines ") }) {
		t.Error("the Go runtime isn't shown")
	}
}

func TestMetrics_are_bounded(t *testing.T) {
	collector := newStateCollector(Deps{Topics: cluster{partitions: 20}, Groups: cluster{}})
	collector.most = 4
	ch := make(chan prometheus.Metric, 1000)
	collector.Collect(ch)
	close(ch)
	perName, left := map[string]int{}, 0.0
	for m := range ch {
		perName[m.Desc().String()]++
		if m.Desc() == collector.leftOut {
			var written dto.Metric
			if err := m.Write(&written); err != nil {
				t.Fatal(err)
			}
			left = written.GetGauge().GetValue()
		}
	}
	if leaders, offsets := perName[collector.leader.String()], perName[collector.groupOffset.String()]; leaders != 4 || offsets != 4 || left != 18+1 {
		t.Errorf("%d partitions and %d offsets are shown, %v left out", leaders, offsets, left)
	}
}

func TestMetrics_two_servers_in_one_process(t *testing.T) {
	a, b := newServer(t, Deps{}), newServer(t, Deps{})
	a.Observe(wire.Observation{Key: 3})
	wantMetrics(t, a, `kbroker_requests_total{api="Metadata",result="NONE"} 1`)
	if slices.ContainsFunc(metrics(t, b), func(l string) bool { return strings.HasPrefix(l, "kbroker_requests_total") }) {
		t.Error("one server counts the other's requests")
	}
}

// told is what clients are told, by listener.
type told map[string]string

func (a told) Listeners() []string { return []string{"PLAINTEXT", "OUT"} }
func (a told) Advertised(listener string) string {
	if v, ok := a[listener]; ok {
		return v
	}
	return "auto"
}

func (a told) SetAdvertised(listener, host string, port int32) {
	if host == "" {
		delete(a, listener)
		return
	}
	a[listener] = net.JoinHostPort(host, fmt.Sprint(port))
}

func TestAdvertised_changes_at_run_time(t *testing.T) {
	tests := []struct {
		name, path, body string
		code             int
		want             told
	}{
		{"an address for all listeners", "/advertised", "localhost:32789\n", http.StatusOK, told{"PLAINTEXT": "localhost:32789", "OUT": "localhost:32789"}},
		{"IPv6", "/advertised", "[::1]:5", http.StatusOK, told{"PLAINTEXT": "[::1]:5", "OUT": "[::1]:5"}},
		{"one listener", "/advertised?listener=OUT", "a:1", http.StatusOK, told{"PLAINTEXT": "before:1", "OUT": "a:1"}},
		{"JSON", "/advertised", `{"host": "a", "port": 2}`, http.StatusOK, told{"PLAINTEXT": "a:2", "OUT": "a:2"}},
		{"JSON for one listener", "/advertised", `{"host": "a", "port": 2, "listener": "OUT"}`, http.StatusOK, told{"PLAINTEXT": "before:1", "OUT": "a:2"}},
		{"back to auto", "/advertised", "auto", http.StatusOK, told{}},
		{"back to auto in JSON", "/advertised", `{"host": "auto", "listener": "PLAINTEXT"}`, http.StatusOK, told{}},
		{"no such listener", "/advertised?listener=IN", "a:1", http.StatusBadRequest, nil},
		{"no port", "/advertised", "localhost", http.StatusBadRequest, nil},
		{"port 0", "/advertised", "localhost:0", http.StatusBadRequest, nil},
		{"large port", "/advertised", "localhost:65536", http.StatusBadRequest, nil},
		{"no host", "/advertised", ":9092", http.StatusBadRequest, nil},
		{"all interfaces", "/advertised", "0.0.0.0:9092", http.StatusBadRequest, nil},
		{"an unknown field", "/advertised", `{"host": "a", "prot": 2}`, http.StatusBadRequest, nil},
		{"nothing", "/advertised", "", http.StatusBadRequest, nil},
		{"a large body", "/advertised", strings.Repeat("x", maxBodyBytes+1), http.StatusRequestEntityTooLarge, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := told{"PLAINTEXT": "before:1"}
			want := tt.want
			if want == nil {
				want = told{"PLAINTEXT": "before:1"}
			}
			s := newServer(t, Deps{Advertised: now, AdvertisedAtRunTime: true})
			code, body := ask(t, s, http.MethodPut, tt.path, tt.body)
			if code != tt.code {
				t.Errorf("answers %d: %s", code, body)
			}
			if fmt.Sprint(now) != fmt.Sprint(want) {
				t.Errorf("clients are told %v, want %v", now, want)
			}
			if tt.code == http.StatusBadRequest && !strings.Contains(body, "allowed") {
				t.Errorf("%q doesn't say what is allowed", body)
			}
		})
	}
}

func TestAdvertised_is_shown_and_fixed_in_production(t *testing.T) {
	now := told{"OUT": "a:1"}
	s := newServer(t, Deps{Advertised: now})
	if code, body := ask(t, s, http.MethodPut, "/advertised", "b:2"); code != http.StatusForbidden || now["OUT"] != "a:1" {
		t.Errorf("PUT answers %d: %s", code, body)
	}
	_, body := ask(t, s, http.MethodGet, "/advertised", "")
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil || got["OUT"] != "a:1" || got["PLAINTEXT"] != "auto" {
		t.Errorf("GET answers %s", body)
	}
}

func TestServe_ends_with_its_context(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	s := newServer(t, Deps{})
	go func() { served <- s.Serve(ctx, l) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/live answers %d", response.StatusCode)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve returns %v", err)
	}
	if response, err := client.Do(request); err == nil {
		response.Body.Close()
		t.Error("it is served after its end")
	}
}
