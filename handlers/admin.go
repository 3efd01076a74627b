package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
)

// maxAdminWait bounds how long a client can have an admin request wait for the controller.
const maxAdminWait = 2 * time.Minute

// Authorized operations where nothing is forbidden, as bits by Kafka's AclOperation (KIP-430), and the value for "not asked for".
const (
	topicOperations        int32 = 3576 // read, write, create, delete, alter, describe, describe and alter configs
	clusterOperations      int32 = 8096 // create, alter, describe, cluster action, describe and alter configs, idempotent write, tokens
	operationsNotAsked     int32 = -2147483648
	noController           int32 = -1
	endpointTypeBroker     int8  = 1
	endpointTypeController int8  = 2
	invalidLowWatermark    int64 = -1
)

// decide has the controller decide an operation that the client waits for. No time left is a timeout: then nothing was changed.
func (h *Handlers) decide(timeoutMillis int32, op cluster.Operation) (any, error) {
	if timeoutMillis <= 0 {
		return nil, kerr.RequestTimedOut
	}
	return h.decideWithin(time.Duration(timeoutMillis)*time.Millisecond, op)
}

func (h *Handlers) decideWithin(timeout time.Duration, op cluster.Operation) (any, error) {
	ctx, cancel := context.WithTimeout(h.Context, min(timeout, maxAdminWait))
	defer cancel()
	return h.Metadata.Do(ctx, op)
}

// refusal gives a row's error code and message.
func refusal(r *cluster.Refusal) (code int16, message *string) {
	if r == nil {
		return 0, nil
	}
	if r.Message != "" {
		message = &r.Message
	}
	return r.Kafka.Code, message
}

// failure gives the error code and the message of an operation that failed as a whole.
func (h *Handlers) failure(err error) (code int16, message *string) {
	var r *cluster.Refusal
	if errors.As(err, &r) {
		return refusal(r)
	}
	return h.code(err), nil
}

func text(s string) *string { return &s }
