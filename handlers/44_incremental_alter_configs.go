package handlers

import (
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// IncrementalAlterConfigs (key 44) sets, deletes, appends to and subtracts from the settings that it names (KIP-339). v1 is flexible.
func (h *Handlers) incrementalAlterConfigs(r *wire.Request) {
	req := r.Body.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	op := cluster.AlterConfigs{Incremental: true, ValidateOnly: req.ValidateOnly, NodeID: h.NodeID, Static: h.Static}
	loggers := map[string]int{}
	for _, res := range req.Resources {
		if int8(res.ResourceType) == cluster.ResourceBrokerLogger {
			loggers[res.ResourceName]++
			continue
		}
		a := cluster.ConfigAlteration{Resource: cluster.ConfigResource{Type: int8(res.ResourceType), Name: res.ResourceName}}
		for _, c := range res.Configs {
			a.Changes = append(a.Changes, cluster.ConfigChange{Key: c.Name, Op: cluster.ConfigOp(c.Op), Value: c.Value})
		}
		op.Resources = append(op.Resources, a)
	}
	var outcomes []outcome
	if len(op.Resources) > 0 {
		outcomes = h.alter(op)
	}
	for _, res := range req.Resources {
		row := kmsg.NewIncrementalAlterConfigsResponseResource()
		row.ResourceType, row.ResourceName = res.ResourceType, res.ResourceName
		switch {
		case int8(res.ResourceType) != cluster.ResourceBrokerLogger:
			row.ErrorCode, row.ErrorMessage = outcomes[0].code, outcomes[0].message
			outcomes = outcomes[1:]
		case loggers[res.ResourceName] > 1:
			row.ErrorCode, row.ErrorMessage = kerr.InvalidRequest.Code, text("Each resource must appear at most once.")
		default:
			row.ErrorCode, row.ErrorMessage = refusal(h.alterLoggers(res, req.ValidateOnly))
		}
		resp.Resources = append(resp.Resources, row)
	}
	r.Reply(resp)
}

// alterLoggers changes the levels of this broker's loggers (KIP-412).
func (h *Handlers) alterLoggers(res kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) *cluster.Refusal {
	refused := func(kafka *kerr.Error, message string) *cluster.Refusal {
		return &cluster.Refusal{Kafka: kafka, Message: message}
	}
	id, err := strconv.ParseInt(res.ResourceName, 10, 32)
	if err != nil {
		return refused(kerr.InvalidRequest, "Node id must be an integer, but it is: "+res.ResourceName)
	}
	if int32(id) != h.NodeID {
		return refused(kerr.InvalidRequest, "Unexpected node id. Expected "+nodeName(h.NodeID)+", but received "+res.ResourceName)
	}
	level := ""
	for _, c := range res.Configs {
		switch op := cluster.ConfigOp(c.Op); {
		case op == cluster.ConfigAppend || op == cluster.ConfigSubtract:
			return refused(kerr.InvalidRequest, map[cluster.ConfigOp]string{cluster.ConfigAppend: "APPEND", cluster.ConfigSubtract: "SUBTRACT"}[op]+" operation is not allowed for the BROKER_LOGGER resource")
		case op != cluster.ConfigSet && op != cluster.ConfigDelete:
			return refused(kerr.InvalidRequest, "Unknown operation type "+strconv.Itoa(int(op))+" is not allowed for the BROKER_LOGGER resource")
		case c.Name != rootLogger:
			return refused(kerr.InvalidConfig, "Logger "+c.Name+" does not exist!")
		case op == cluster.ConfigDelete:
			return refused(kerr.InvalidRequest, "Removing the log level of the root logger is not allowed")
		case c.Value == nil:
			return refused(kerr.InvalidRequest, "Null value not supported for : "+c.Name)
		case !isLogLevel(*c.Value):
			return refused(kerr.InvalidConfig, "Cannot set the log level of "+c.Name+" to "+*c.Value+" as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN")
		}
		level = *c.Value
	}
	if level != "" && !strings.EqualFold(level, logLevel(h.Log)) && !validateOnly {
		return refused(kerr.PolicyViolation, "The log level of this broker is set when it starts.")
	}
	return nil
}

func isLogLevel(name string) bool {
	switch name {
	case "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL":
		return true
	}
	return false
}
