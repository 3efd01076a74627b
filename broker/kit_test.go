package broker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// given is a configuration in memory on free ports, with own settings and, after "kafka:", Kafka's.
func given(t *testing.T, settings map[string]string) *config.Config {
	t.Helper()
	g := config.Given{
		Own:   map[string][]string{"listen": {"127.0.0.1:0"}, "http": {"off"}, "data-dir": {config.MemoryDataDir}, "memory-budget": {"64MiB"}},
		Kafka: map[string]string{},
	}
	for name, value := range settings {
		if property, ok := strings.CutPrefix(name, "kafka:"); ok {
			g.Kafka[property] = value
			continue
		}
		g.Own[name] = strings.Split(value, " ")
	}
	cfg, err := config.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func started(t *testing.T, settings map[string]string) (*Broker, *logLines) {
	t.Helper()
	lines := &logLines{}
	b, err := Start(t.Context(), given(t, settings), slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b, lines
}

// logLines is a log that may be written to from anywhere.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// alter sets settings of all brokers at run time.
func alter(t *testing.T, cl *kgo.Client, settings map[string]string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType = kmsg.ConfigResourceTypeBroker
	for name, value := range settings {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, &value
		res.Configs = append(res.Configs, c)
	}
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatalf("%v, %v", resp, err)
	}
}
