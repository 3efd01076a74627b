package cluster

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Bounds of what admin operations may make. Kafka has none for most of these and dies of large ones.
const (
	// MaxPartitionsPerRequest bounds the partitions that one request adds; it is also how many a topic can be made with.
	MaxPartitionsPerRequest = 10_000
	// MaxPartitionsPerCluster bounds the partitions that there are.
	MaxPartitionsPerCluster = 200_000
	// MaxConfigValueLength bounds a setting's value, in UTF-16 units as Kafka counts.
	MaxConfigValueLength = 32767
	// MaxConfigsPerResource bounds the settings of one resource: brokers accept keys that nobody knows.
	MaxConfigsPerResource = 1_000
	// MaxConfiguredGroups and MaxClientMetricsSubscriptions bound the resources that exist by being configured.
	MaxConfiguredGroups           = 100_000
	MaxClientMetricsSubscriptions = 1_000
)

// Refusal is why an admin operation, or one row of it, was refused: Kafka's error and the text that tools show.
type Refusal struct {
	Kafka *kerr.Error
	// Message is shown to the client. Empty is shown as null: Kafka has no text for some refusals.
	Message string
}

func (r *Refusal) Error() string {
	if r.Message == "" {
		return r.Kafka.Error()
	}
	return r.Kafka.Message + ": " + r.Message
}

// Unwrap gives Kafka's error.
func (r *Refusal) Unwrap() error { return r.Kafka }

func refuse(kafka *kerr.Error, format string, args ...any) *Refusal {
	return &Refusal{Kafka: kafka, Message: fmt.Sprintf(format, args...)}
}
