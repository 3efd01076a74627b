package config

import (
	"slices"
	"strings"
)

// containerOnly are the variables of Kafka's container images that are meant for their scripts and the Java machine.
var containerOnly = map[string]bool{
	"KAFKA_HOME": true, "KAFKA_VERSION": true, "KAFKA_HEAP_OPTS": true, "KAFKA_OPTS": true, "KAFKA_JMX_OPTS": true, "KAFKA_JMX_PORT": true,
	"KAFKA_JMX_HOSTNAME": true, "KAFKA_JVM_PERFORMANCE_OPTS": true, "KAFKA_GC_LOG_OPTS": true, "KAFKA_LOG4J_OPTS": true, "KAFKA_LOG4J_ROOT_LOGLEVEL": true,
	"KAFKA_LOG4J_LOGGERS": true, "KAFKA_TOOLS_LOG4J_LOGLEVEL": true, "KAFKA_DEBUG": true, "KAFKA_CLASSPATH": true,
	"KAFKA_SSL_KEYSTORE_FILENAME": true, "KAFKA_SSL_KEYSTORE_CREDENTIALS": true, "KAFKA_SSL_KEY_CREDENTIALS": true, "KAFKA_SSL_TRUSTSTORE_FILENAME": true, "KAFKA_SSL_TRUSTSTORE_CREDENTIALS": true,
}

// kubernetesLink says that Kubernetes set the variable because there is a service with the name kafka.
func kubernetesLink(name, value string) bool {
	return strings.HasPrefix(name, "KAFKA_SERVICE_") || (strings.HasPrefix(name, "KAFKA_PORT") && (name == "KAFKA_PORT" || strings.HasPrefix(name, "KAFKA_PORT_"))) && !isNumber(value)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// propertyOfVariable gives the property that a variable KAFKA_X means, by the rules of Kafka's container images: _ is a dot, __ an underscore, ___ a hyphen.
func propertyOfVariable(name string) string {
	name = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(name, "KAFKA_"), "CFG_"))
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(name)
}

// environmentSettings picks Kafka's properties out of the environment. unknown names variables that begin like Kafka's, but are no property of a
// broker: they may be meant for other programs, so they are no error.
func environmentSettings(environ []string) (settings []Setting, clusterID ownValue, unknown []string, err error) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if name == "CLUSTER_ID" || name == "KAFKA_CLUSTER_ID" || name == "KAFKA_KRAFT_CLUSTER_ID" {
			if value != "" {
				clusterID = ownValue{values: []string{value}, origin: Origin{FromEnvironment, name}}
			}
			continue
		}
		if !strings.HasPrefix(name, "KAFKA_") || containerOnly[name] || kubernetesLink(name, value) {
			continue
		}
		s := Setting{Name: propertyOfVariable(name), Value: value, Origin: Origin{FromEnvironment, name}}
		switch {
		case known(s.Name):
			settings = append(settings, s)
		case len(s.Name) >= minTypoLength && nearest(s.Name, maxTypos) != "":
			return nil, ownValue{}, nil, unknownProperty(s)
		default:
			unknown = append(unknown, name)
		}
	}
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Origin.Name, b.Origin.Name) })
	slices.Sort(unknown)
	return settings, clusterID, unknown, nil
}

// A variable of the environment that differs by so few letters from a setting is taken for a typing mistake; shorter names could be anything.
const (
	maxTypos      = 2
	minTypoLength = 8
)

// misspelledVariable finds a variable KBROKER_X that nearly is a flag's.
func misspelledVariable(environ []string) (name, meant string, found bool) {
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "KBROKER_") {
			continue
		}
		for _, o := range ownSettings {
			meant := Environment(o.name)
			if d := editDistance(name, meant, maxTypos+1); d > 0 && d <= maxTypos && len(o.name) > 2*maxTypos {
				return name, meant, true
			}
		}
	}
	return "", "", false
}

// known says that a property is Kafka's, of now or of before, or belongs to a plugin or to a listener.
func known(name string) bool {
	_, ok := Lookup(Broker, name)
	return ok || withoutMeaning(name)
}

// gone are properties of Kafka 3 that Kafka 4 no longer has, and those of Kafka's authorizer.
var gone = map[string]bool{
	"auto.include.jmx.reporter": true, "broker.id.generation.enable": true, "reserved.broker.max.id": true, "control.plane.listener.name": true,
	"controller.quorum.static.voters": true, "delegation.token.master.key": true, "eligible.leader.replicas.enable": true,
	"group.coordinator.new.enable": true, "inter.broker.protocol.version": true, "leader.imbalance.per.broker.percentage": true,
	"log.message.downconversion.enable": true, "log.message.format.version": true, "log.message.timestamp.difference.max.ms": true,
	"metadata.log.dir.failure.timeout.ms": true, "offsets.commit.required.acks": true, "password.encoder.cipher.algorithm": true,
	"password.encoder.iterations": true, "password.encoder.key.length": true, "password.encoder.keyfactory.algorithm": true,
	"password.encoder.old.secret": true, "password.encoder.secret": true, "group.consumer.regex.refresh.interval.ms": true,
	"group.share.enable": true, "share.coordinator.cold.partition.snapshot.interval.ms": true, "log.initial.task.delay.ms": true,
	"log.dir.scan.interval.ms": true, "super.users": true, "allow.everyone.if.no.acl.found": true, "sasl.oauthbearer.header.urlencode": true,
}

// foreign are how the properties of plugins and of other products begin.
var foreign = []string{"listener.name.", "zookeeper.", "confluent.", "rsm.config.", "rlmm.config.", "metrics.context.", "config.providers.", "client.quota.callback.static."}

// withoutMeaning says that a property may be set though the table doesn't have it.
func withoutMeaning(name string) bool {
	return gone[name] || slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
