package cluster

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Names of topics that the cluster itself needs.
const (
	ConsumerOffsetsTopic  = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
	ShareGroupStateTopic  = "__share_group_state"
	// ClusterMetadataTopic is the metadata log's name. It is no topic that clients see or make.
	ClusterMetadataTopic = "__cluster_metadata"
)

const maxTopicNameLength = 249

// IsInternalTopic says whether the topic is one of the coordinators' (Kafka's Topic.isInternal).
func IsInternalTopic(name string) bool {
	return name == ConsumerOffsetsTopic || name == TransactionStateTopic || name == ShareGroupStateTopic
}

// CheckTopicName refuses names that no topic may have (Kafka's Topic.validate).
func CheckTopicName(name string) *Refusal {
	invalid := func(detail string) *Refusal {
		return &Refusal{Kafka: kerr.InvalidTopicException, Message: "Topic name is invalid: " + detail}
	}
	switch {
	case name == "":
		return invalid("the empty string is not allowed")
	case name == "." || name == "..":
		return invalid("'" + name + "' is not allowed")
	case len(name) > maxTopicNameLength:
		return invalid("the length of '" + name + "' is longer than the max allowed length 249")
	case strings.IndexFunc(name, notInTopicNames) >= 0:
		return invalid("'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
	}
	return nil
}

func notInTopicNames(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
}
