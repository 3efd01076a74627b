// Package handlers answers Kafka's requests: one file per API, NN_name.go, listed in table.go. A handler does its work in
// the order of arrival, on the connection's goroutine, and answers at once or later, when what it waits for has come
// (records, a commit, a rebalance). It knows the wire's request and the layers below only through deps.go.
//
// A handler never changes state on input that it then refuses, reports errors on the row they belong to, and goes on with the rest.
package handlers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Handlers holds what all handlers share. The fields are set before the first request and don't change.
type Handlers struct {
	NodeID      int32
	Metadata    Metadata
	Partitions  Partitions
	Groups      Groups
	ProducerIDs ProducerIDs
	Endpoints   Endpoints
	Static      *config.Static
	Log         *slog.Logger
	Now         func() time.Time
	// ClampReplicas gives a topic as many replicas as there are brokers where more were asked for (dev profile).
	ClampReplicas bool
	// LogDirs gives the log directories with their capacity, for DescribeLogDirs.
	LogDirs func() []LogDir
	// Context ends when the broker stops; it bounds what handlers ask of the controller.
	Context context.Context

	fetches  fetchState
	internal sync.Mutex // one creation of an internal topic at a time
	table    [maxAPIKey + 1]*API
}

// maxAPIKey is the largest API key that exists.
const maxAPIKey = 94

// Init completes the handlers once their fields are set; it is called once, before the first request.
func (h *Handlers) Init() {
	for _, a := range APIs() {
		h.table[a.Key] = &a
	}
}

// LogDir is one of the broker's log directories. Sizes are -1 where they are unknown.
type LogDir struct {
	Path                  string
	TotalBytes, FreeBytes int64
	Err                   error
}

// Endpoints tells where a client that came in on a request's listener reaches a broker.
type Endpoints interface {
	Endpoint(c *wire.Conn, broker *cluster.BrokerInfo) (host string, port int32, ok bool)
}

// endpoint is where the client of r reaches the broker; not ok where that broker has no such listener or isn't there (CONN-15, CONN-16).
func (h *Handlers) endpoint(r *wire.Request, nodeID int32) (host string, port int32, ok bool) {
	b := h.Metadata.Image().Broker(nodeID)
	if b == nil || b.Fenced {
		return "", 0, false
	}
	return h.Endpoints.Endpoint(r.Conn, b)
}

// Handle answers a request. It is wire's handler.
func (h *Handlers) Handle(r *wire.Request) {
	if a := h.table[r.Key]; a != nil { // wire lets no other key through
		a.handle(h, r)
		return
	}
	r.Close(nil)
}

// layers gives the settings of the broker and, where topic isn't empty, of a topic, for resolving.
func (h *Handlers) layers(img *cluster.Image, topic string) config.Layers {
	l := config.Layers{
		Broker:  img.Configs(cluster.ConfigResource{Type: cluster.ResourceBroker, Name: nodeName(h.NodeID)}),
		Cluster: img.Configs(cluster.ConfigResource{Type: cluster.ResourceBroker}),
		Static:  h.Static,
	}
	if topic != "" {
		l.Topic = img.Configs(cluster.ConfigResource{Type: cluster.ResourceTopic, Name: topic})
	}
	return l
}

// Advertised is what the ApiVersions answer lists.
func (h *Handlers) Advertised() []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, a := range h.table {
		if a != nil && !a.Unadvertised {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MinVersion, k.MaxVersion = int16(a.Key), a.AdvertisedMin, a.Max
			keys = append(keys, k)
		}
	}
	return keys
}
