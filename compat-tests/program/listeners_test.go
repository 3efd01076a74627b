package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// told asks a broker at an address in three ways where it is.
func told(t *testing.T, addr string) (hosts []string) {
	t.Helper()
	c := dial(t, addr)
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(9)
	m.Topics = []kmsg.MetadataRequestTopic{}
	for _, b := range c.ask(m).(*kmsg.MetadataResponse).Brokers {
		hosts = append(hosts, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
	}
	d := kmsg.NewPtrDescribeClusterRequest()
	d.SetVersion(0)
	for _, b := range c.ask(d).(*kmsg.DescribeClusterResponse).Brokers {
		hosts = append(hosts, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
	}
	f := kmsg.NewPtrFindCoordinatorRequest()
	f.SetVersion(2)
	f.CoordinatorKey = "g"
	r := c.ask(f).(*kmsg.FindCoordinatorResponse)
	if r.ErrorCode != 0 {
		t.Errorf("FindCoordinator on %s: error %d", addr, r.ErrorCode)
	}
	return append(hosts, net.JoinHostPort(r.Host, fmt.Sprint(r.Port)))
}

func wantTold(t *testing.T, addr, want string) {
	t.Helper()
	for i, got := range told(t, addr) {
		if got != want {
			t.Errorf("a client of %s is told %s by %s, want %s", addr, got, []string{"Metadata", "DescribeCluster", "FindCoordinator"}[i], want)
		}
	}
}

func hasIPv6(t *testing.T) bool {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func TestListen_by_default_on_both_families_of_loopback_and_nowhere_else(t *testing.T) {
	if _, _, errOut := (invocation{args: []string{"config"}}).finish(t); errOut != "" {
		t.Fatal(errOut)
	}
	_, out, _ := invocation{args: []string{"config"}}.finish(t)
	if !strings.Contains(strings.Join(strings.Fields(out), " "), "listen localhost:9092 default") {
		t.Errorf("the default isn't localhost:9092:\n%s", out)
	}
	p := start(t, "--listen", "localhost:0")
	_, port, err := net.SplitHostPort(p.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	wantTold(t, "127.0.0.1:"+port, "127.0.0.1:"+port)
	if hasIPv6(t) {
		wantTold(t, "[::1]:"+port, "[::1]:"+port)
	}
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range ifaces {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		if c, err := new(net.Dialer).DialContext(within(t), "tcp", net.JoinHostPort(ip.String(), port)); err == nil {
			c.Close()
			t.Errorf("it listens on %s too", ip)
		}
	}
}

func TestListen_several_addresses(t *testing.T) {
	one, two := "127.0.0.1:"+freePort(t), "127.0.0.2:"+freePort(t)
	p := start(t, "--listen", one, "--listen", two)
	if strings.Join(p.addrs, " ") != one+" "+two {
		t.Errorf("it listens on %v", p.addrs)
	}
	wantTold(t, one, one)
	wantTold(t, two, two)
}

func TestListen_environment_and_precedence(t *testing.T) {
	a, b := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	i := invocation{args: []string{"--http", "off", "--data-dir", "memory:"}, env: []string{"KBROKER_LISTEN=" + a + "," + b, "KBROKER_ADVERTISE=kafka.example.com:1234"}}
	p := i.start(t)
	if strings.Join(p.addrs, " ") != a+" "+b {
		t.Errorf("it listens on %v", p.addrs)
	}
	wantTold(t, a, "kafka.example.com:1234")
	i.args = append(i.args, "--listen", "127.0.0.1:0", "--advertise", "auto")
	q := i.start(t)
	wantTold(t, q.addrs[0], q.addrs[0])
}

func TestCONN_15_each_client_sees_its_own_listener_s_endpoints(t *testing.T) {
	in, out, auto := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	invocation{args: []string{"--http", "off", "--data-dir", "memory:"}, env: []string{
		"KAFKA_LISTENERS=INTERNAL://" + in + ",EXTERNAL://" + out + ",THIRD://" + auto,
		"KAFKA_ADVERTISED_LISTENERS=INTERNAL://kafka:9092,EXTERNAL://broker.example.com:443",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,THIRD:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME=INTERNAL",
	}}.start(t)
	wantTold(t, in, "kafka:9092")
	wantTold(t, out, "broker.example.com:443")
	wantTold(t, auto, auto)
}

// oneLineFor says that the settings are named in exactly one line, and that others aren't.
func oneLineFor(t *testing.T, p *process, named, silent []string) {
	t.Helper()
	found := p.log.with("without a meaning here")
	if len(found) != 1 {
		t.Fatalf("%d lines name what has no meaning here, want 1:\n%s", len(found), p.log)
	}
	for _, n := range named {
		if !strings.Contains(found[0], n) {
			t.Errorf("%s isn't in %q", n, found[0])
		}
	}
	for _, n := range silent {
		if strings.Contains(found[0], n) {
			t.Errorf("%s is in %q", n, found[0])
		}
	}
	before, _, _ := strings.Cut(p.log.String(), "msg=ready")
	if strings.Count(before, "\n") != 1 {
		t.Errorf("more than one line until it is ready:\n%s", p.log)
	}
}

// Kafka's own config/server.properties of 4.x, with the ports of the test.
const serverProperties = `
############################# Server Basics #############################
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:CPORT
############################# Socket Server Settings #############################
listeners=PLAINTEXT://:PORT,CONTROLLER://:CPORT
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:PORT,CONTROLLER://localhost:CPORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
############################# Log Basics #############################
log.dirs=DIR
num.partitions=4
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
#log.flush.interval.messages=10000
log.retention.hours=168
#log.retention.bytes=1073741824
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

func TestStart_unchanged_with_a_server_properties_of_one_combined_node(t *testing.T) {
	dir := t.TempDir()
	port, cport := freePort(t), freePort(t)
	text := strings.NewReplacer("CPORT", cport, "PORT", port, "DIR", filepath.Join(dir, "kraft-combined-logs")).Replace(serverProperties)
	if err := os.WriteFile(filepath.Join(dir, "server.properties"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := invocation{args: []string{"--config", "server.properties", "--http", "off"}, dir: dir}.start(t)
	wantTold(t, "127.0.0.1:"+port, "localhost:"+port)
	if _, err := os.Stat(filepath.Join(dir, "kraft-combined-logs", "meta.properties")); err != nil {
		t.Error(err)
	}
	if c, err := new(net.Dialer).DialContext(within(t), "tcp", "127.0.0.1:"+cport); err == nil {
		c.Close()
		t.Error("something listens where the controller would")
	}
	oneLineFor(t, p, []string{"controller.quorum.bootstrap.servers", "num.io.threads"}, []string{"process.roles", "listeners", "num.partitions", "node.id", "log.dirs"})
}

func TestStart_unchanged_with_the_environment_of_a_container_of_one_combined_node(t *testing.T) {
	dir := t.TempDir()
	port, cport, hostPort := freePort(t), freePort(t), freePort(t)
	p := invocation{args: []string{"--http", "off"}, dir: dir, env: []string{
		"KAFKA_NODE_ID=3",
		"KAFKA_PROCESS_ROLES=broker,controller",
		"KAFKA_LISTENERS=PLAINTEXT://:" + port + ",CONTROLLER://:" + cport + ",PLAINTEXT_HOST://:" + hostPort,
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:" + port + ",PLAINTEXT_HOST://localhost:29092",
		"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME=PLAINTEXT",
		"KAFKA_CONTROLLER_QUORUM_VOTERS=3@localhost:" + cport,
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
		"KAFKA_NUM_PARTITIONS=3",
		"KAFKA_LOG_DIRS=" + filepath.Join(dir, "logs"),
		"KAFKA_HEAP_OPTS=-Xmx512m", "KAFKA_JMX_PORT=9101", "KAFKA_JMX_HOSTNAME=localhost",
		"KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_SERVICE_HOST=10.0.0.1", // Kubernetes sets these
		"CLUSTER_ID=4L6g3nShT-eMCtK--X86sw",
	}}.start(t)
	wantTold(t, "127.0.0.1:"+port, "kafka:"+port)
	wantTold(t, "127.0.0.1:"+hostPort, "localhost:29092")
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(9)
	m.Topics = []kmsg.MetadataRequestTopic{}
	r := dial(t, "127.0.0.1:"+port).ask(m).(*kmsg.MetadataResponse)
	if r.ClusterID == nil || *r.ClusterID != "4L6g3nShT-eMCtK--X86sw" || r.ControllerID != 3 || r.Brokers[0].NodeID != 3 {
		t.Errorf("cluster %v, controller %d, brokers %v", r.ClusterID, r.ControllerID, r.Brokers)
	}
	oneLineFor(t, p, []string{"controller.quorum.voters"}, []string{"CLUSTER_ID", "HEAP", "JMX", "KAFKA_PORT", "listeners"})
}

func TestAdvertised_at_run_time_in_dev_only(t *testing.T) {
	p := start(t)
	wantTold(t, p.addrs[0], p.addrs[0])
	url := "http://" + p.http + "/advertised"
	if status, body := get(t, "PUT", url, "localhost:32789"); status != 200 || !strings.Contains(body, "localhost:32789") {
		t.Errorf("PUT answers %d %s", status, body)
	}
	wantTold(t, p.addrs[0], "localhost:32789")
	if status, body := get(t, "GET", url, ""); status != 200 || !strings.Contains(body, "localhost:32789") {
		t.Errorf("GET answers %d %s", status, body)
	}
	if status, _ := get(t, "PUT", url, "nonsense"); status != 400 {
		t.Errorf("nonsense is answered with %d", status)
	}
	wantTold(t, p.addrs[0], "localhost:32789")
	if status, _ := get(t, "PUT", url, "auto"); status != 200 {
		t.Errorf("auto is answered with %d", status)
	}
	wantTold(t, p.addrs[0], p.addrs[0])

	q := start(t, "--profile", "production")
	if status, body := get(t, "PUT", "http://"+q.http+"/advertised", "localhost:32789"); status != 403 || !strings.Contains(body, "--advertise") {
		t.Errorf("in production PUT answers %d %s", status, body)
	}
	wantTold(t, q.addrs[0], q.addrs[0])
}

func TestAdvertise_by_flag(t *testing.T) {
	p := start(t, "--advertise", "[2001:db8::1]:"+strconv.Itoa(9092))
	wantTold(t, p.addrs[0], "[2001:db8::1]:9092")
}
