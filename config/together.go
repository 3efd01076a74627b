package config

import (
	"fmt"
	"strings"
)

// checkTogether checks what must fit together (Kafka's KafkaConfig and its parts). The error names the settings and what is allowed.
func (s *Static) checkTogether() error {
	for _, name := range []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"} {
		if v, set := s.Get(name); set && trim(v) == "0" {
			return s.refuse(name, "it is 0 (allowed: -1 for ever, or 1 and more)")
		}
	}
	if s.IsSet("log.roll.ms") && s.Long("log.roll.ms") < 1 {
		return s.refuse("log.roll.ms", "it is %d (allowed: 1 and more)", s.Long("log.roll.ms"))
	}
	if s.IsSet("log.roll.jitter.ms") && s.Long("log.roll.jitter.ms") < 0 {
		return s.refuse("log.roll.jitter.ms", "it is %d (allowed: 0 and more)", s.Long("log.roll.jitter.ms"))
	}
	for _, o := range orders {
		if s.Long(o.least) > s.Long(o.most) {
			name := o.least
			if !s.IsSet(name) {
				name = o.most
			}
			return s.refuse(name, "%s is %d and %s is %d (allowed: the first not above the second)", o.least, s.Long(o.least), o.most, s.Long(o.most))
		}
	}
	for _, prefix := range []string{"group.consumer", "group.share", "group.streams"} {
		session, heartbeat := prefix+".session.timeout.ms", prefix+".heartbeat.interval.ms"
		if s.Long(heartbeat) >= s.Long(session) {
			return s.refuse(heartbeat, "it is %d (allowed: less than %s, %d)", s.Long(heartbeat), session, s.Long(session))
		}
	}
	if n := s.Long("queued.max.request.bytes"); n > 0 && n < s.Long("socket.request.max.bytes") {
		return s.refuse("queued.max.request.bytes", "it is %d (allowed: -1, or socket.request.max.bytes, %d, and more)", n, s.Long("socket.request.max.bytes"))
	}
	if s.Int("max.connections.per.ip") == 0 && s.String("max.connections.per.ip.overrides") == "" {
		return s.refuse("max.connections.per.ip", "it is 0 (allowed: 1 and more, or 0 where max.connections.per.ip.overrides is set)")
	}
	if _, err := s.ConnectionOverrides(); err != nil {
		return s.refuse("max.connections.per.ip.overrides", "%v (allowed: HOST:LIMIT,HOST:LIMIT)", err)
	}
	if n := s.Long("log.cleaner.dedupe.buffer.size") / max(1, s.Long("log.cleaner.threads")); n <= 1<<20 {
		return s.refuse("log.cleaner.dedupe.buffer.size", "%d bytes for a thread (allowed: more than 1 MiB for each of log.cleaner.threads)", n)
	}
	if n := s.Int("offsets.topic.compression.codec"); n < 0 || n > 4 {
		return s.refuse("offsets.topic.compression.codec", "it is %d (allowed: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd)", n)
	}
	return nil
}

// CheckTogether says what of the settings doesn't fit together, for those that change at run time.
func (s *Static) CheckTogether() error { return s.checkTogether() }

// orders are pairs of which the first must not be above the second.
var orders = []struct{ least, most string }{
	{"group.min.session.timeout.ms", "group.max.session.timeout.ms"},
	{"group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms"},
	{"group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"},
	{"group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"group.share.min.session.timeout.ms", "group.share.session.timeout.ms"},
	{"group.share.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"group.streams.min.session.timeout.ms", "group.streams.session.timeout.ms"},
	{"group.streams.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"replica.fetch.wait.max.ms", "replica.socket.timeout.ms"},
	{"replica.fetch.wait.max.ms", "replica.lag.time.max.ms"},
	{"log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"},
}

func (s *Static) refuse(name, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %s", s.Origin(name), name, fmt.Sprintf(format, args...))
}

// ConnectionOverrides reads max.connections.per.ip.overrides: the limit of each host that has one of its own.
func (s *Static) ConnectionOverrides() (map[string]int, error) {
	value := s.String("max.connections.per.ip.overrides")
	if value == "" {
		return nil, nil
	}
	limits := map[string]int{}
	for _, entry := range SplitList(value) {
		i := strings.LastIndexByte(entry, ':')
		if i <= 0 {
			return nil, fmt.Errorf("%q is not HOST:LIMIT", entry)
		}
		p, problem := parse(TypeInt, entry[i+1:])
		if problem != "" || p.long < 0 {
			return nil, fmt.Errorf("%q is not HOST:LIMIT", entry)
		}
		limits[trim(entry[:i])] = int(p.long)
	}
	return limits, nil
}
