package cluster

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/config"
	"github.com/twmb/franz-go/pkg/kerr"
)

const minInsyncReplicas = "min.insync.replicas"

// checkBroker checks what brokers take at run time (Kafka's DynamicBrokerConfig). Keys that nobody knows are taken: they may
// be a plugin's.
func (a *alteration) checkBroker(next map[string]string) *Refusal {
	var readOnly, unprefixed, perBroker []string
	for _, name := range sortedKeys(next) {
		key, known := config.Lookup(config.Broker, name)
		switch base, ofListener := listenerSetting(name); {
		case ofListener && !slices.Contains(clusterListenerKeys, base):
			perBroker = append(perBroker, name)
		case !known:
		case key.UpdateMode == config.ReadOnly:
			readOnly = append(readOnly, name)
		case key.UpdateMode == config.PerBroker:
			perBroker = append(perBroker, name)
			if strings.HasPrefix(name, "ssl.") {
				unprefixed = append(unprefixed, name)
			}
		}
	}
	if len(readOnly) > 0 {
		return refuse(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", joined(readOnly, ", "))
	}
	if len(unprefixed) > 0 {
		return refuse(kerr.InvalidRequest, "These security configs can be dynamically updated only per-listener using the listener prefix: [%s]", joined(unprefixed, ", "))
	}
	if a.resource.Name != "" {
		for _, name := range listening {
			if value, set := next[name]; set && value != a.current[name] && !a.atStart(name, value) {
				return refuse(kerr.InvalidRequest, "%s can't be changed while the broker runs; start it again with the new value", name)
			}
		}
	}
	for _, name := range sortedKeys(next) {
		base, _ := listenerSetting(name)
		if key, known := config.Lookup(config.Broker, base); known {
			if err := key.Check(next[name]); err != nil {
				return refuse(kerr.InvalidRequest, "%s", err.Error())
			}
		}
	}
	if r := a.checkBrokerTogether(next); r != nil {
		return r
	}
	if a.resource.Name == "" && len(perBroker) > 0 {
		return refuse(kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [%s]", joined(perBroker, ", "))
	}
	// With eligible leader replicas one value has to hold everywhere (KIP-966).
	if a.img.Features()[FeatureEligibleLeaderReplicas] > 0 {
		_, had := a.current[minInsyncReplicas]
		_, has := next[minInsyncReplicas]
		switch {
		case a.resource.Name != "" && (had || has):
			return refuse(kerr.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
		case a.resource.Name == "" && had && !has:
			return refuse(kerr.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
		}
	}
	return nil
}

// listening are settings that Kafka can change for a running broker by opening and closing listeners, which isn't done here: what is shown has to
// be where the broker listens.
var listening = []string{"listeners", "listener.security.protocol.map"}

// atStart says that the broker was started with a value.
func (a *alteration) atStart(name, value string) bool {
	v, _ := a.op.Static.Get(name)
	return v == value
}

// clusterListenerKeys are the settings of a listener that may hold for the whole cluster.
var clusterListenerKeys = []string{"max.connections", "max.connection.creation.rate", "num.network.threads"}

// listenerSetting gives the setting that listener.name.<listener>.<setting> is of one listener; other names as they are.
func listenerSetting(name string) (base string, ofListener bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return name, false
	}
	_, base, ok = strings.Cut(rest, ".")
	if !ok || base == "" {
		return name, false
	}
	return base, true
}

// checkBrokerTogether refuses settings that don't go with the others that the broker has.
func (a *alteration) checkBrokerTogether(next map[string]string) *Refusal {
	if len(next) == 0 {
		return nil
	}
	layers := []map[string]string{a.img.Configs(ConfigResource{Type: ResourceBroker}), next}
	if a.resource.Name == "" {
		layers = []map[string]string{next, a.img.Configs(ConfigResource{Type: ResourceBroker, Name: strconv.Itoa(int(a.op.NodeID))})}
	}
	together := map[string]string{}
	for _, layer := range layers {
		maps.Copy(together, layer)
	}
	var settings []config.Setting
	for _, name := range sortedKeys(together) {
		if key, known := config.Lookup(config.Broker, name); known && !key.DynamicOnly {
			settings = append(settings, config.Setting{Name: name, Value: together[name]})
		}
	}
	whole, err := a.op.Static.With(settings...)
	if err == nil {
		err = whole.CheckTogether()
	}
	if err != nil {
		return refuse(kerr.InvalidRequest, "%s", strings.TrimPrefix(err.Error(), config.Origin{}.String()+": "))
	}
	return nil
}
