// Package httpapi serves what operators and test harnesses ask over HTTP: GET /live, /ready and /metrics, GET and PUT /advertised.
//
// Requests are counted with a few atomic additions; everything else is looked up when /metrics is asked for, through the small interfaces of
// deps.go, and costs nothing otherwise. Each Server has a registry of its own, so that any number of brokers can run in one process.
//
// There is no authentication: the address is loopback unless it was told otherwise.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kbroker/kbroker/wire"
)

// Limits of what HTTP clients can keep busy.
const (
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	answerTimeout   = 60 * time.Second
	idleTimeout     = 60 * time.Second
	shutdownTimeout = 2 * time.Second
	maxHeaderBytes  = 16 << 10
	maxBodyBytes    = 4 << 10
	maxScrapes      = 4 // of /metrics at the same time
)

// Deps are what the Server shows. What is nil is left out.
type Deps struct {
	Version string
	// Ready says whether a produce would succeed.
	Ready       func() bool
	Topics      Topics
	Groups      Groups
	Connections Connections
	Budgets     []Budget
	Advertised  Advertised
	// AdvertisedAtRunTime allows PUT /advertised.
	AdvertisedAtRunTime bool
	Logger              *slog.Logger
}

// Server answers HTTP requests and counts Kafka's.
type Server struct {
	deps     Deps
	requests *requestStats
	handler  http.Handler
}

// New makes a Server; it serves nothing yet.
func New(deps Deps) (*Server, error) {
	s := &Server{deps: deps, requests: newRequestStats()}
	if s.deps.Ready == nil {
		s.deps.Ready = func() bool { return true }
	}
	if s.deps.Logger == nil {
		s.deps.Logger = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "kbroker_build_info", Help: "The version of the broker.", ConstLabels: prometheus.Labels{"version": deps.Version}})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		build, s.requests, newStateCollector(s.deps), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", s.live)
	mux.HandleFunc("GET /ready", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{s.deps.Logger}}))
	mux.HandleFunc("GET /advertised", s.getAdvertised)
	mux.HandleFunc("PUT /advertised", s.putAdvertised)
	s.handler = mux
	return s, nil
}

// promLog says what went wrong when metrics were collected.
type promLog struct{ log *slog.Logger }

func (l promLog) Println(v ...any) { l.log.Warn("metrics are incomplete", "error", v) }

// Observe counts a Kafka request. It is cheap, and may be called from any goroutine.
func (s *Server) Observe(o wire.Observation) {
	s.requests.observe(o.Key, o.Result, o.Duration, o.BytesIn, o.BytesOut)
}

// Handler answers the requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests on l until ctx ends, and closes l. It returns nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.deps.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if server.Shutdown(drain) != nil {
		_ = server.Close() // what is still busy is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "live\n") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.deps.Ready() {
		answer(w, http.StatusServiceUnavailable, "not ready\n")
		return
	}
	answer(w, http.StatusOK, "ready\n")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
