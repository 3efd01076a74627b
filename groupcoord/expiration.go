package groupcoord

import (
	"slices"

	"github.com/kbroker/kbroker/coord"
)

// expire writes tombstones for offsets whose time is over, and for empty groups that have none left (OFFS-13 to OFFS-16). It runs
// every offsets.retention.check.interval.ms as long as there are groups.
func (s *Shard) expire(out *coord.Output) {
	var records []coord.Record
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		expired, all := s.expiredOffsets(g, out.Wall)
		records = append(records, expired...)
		if !all || g.state != Empty || len(g.pending) > 0 {
			continue
		}
		if g.inLog {
			records = append(records, groupTombstone(id))
		} else {
			s.drop(g)
		}
	}
	if len(records) > 0 {
		out.Write(coord.Write{Records: records, Splits: true, Done: func(_ *coord.Output, err error) {
			if err != nil {
				s.log.Warn("expired offsets could not be deleted; it is tried again", "error", err)
			} else {
				s.log.Info("deleted expired offsets and groups", "tombstones", len(records))
			}
		}})
	}
	if len(s.groups) > 0 {
		s.timers.set(s.cleanup, out.Now+s.cfg.OffsetsRetentionCheckMillis)
	}
}

// expiredOffsets gives tombstones for a group's expired offsets; all says that it has no others.
func (s *Shard) expiredOffsets(g *group, wall int64) (records []coord.Record, all bool) {
	offsets := s.offsets.committed[g.id]
	if len(offsets) == 0 {
		return nil, s.offsets.open[g.id] == nil
	}
	var since func(*offset) int64 // what the retention counts from
	switch {
	case g.protocolType == "":
		since = func(o *offset) int64 { return o.commitWall }
	case g.state == Empty:
		since = func(o *offset) int64 {
			if g.stateSinceWall >= 0 {
				return g.stateSinceWall
			}
			return o.commitWall
		}
	case g.state == Stable && g.subscribed != nil:
		since = func(o *offset) int64 { return o.commitWall }
	default:
		return nil, false // in use, as far as is known
	}
	all = true
	for _, topic := range offsets.topics() {
		if g.subscribesTo(topic) {
			all = false
			continue
		}
		for _, p := range offsets.partitions(topic) {
			o := offsets.get(topic, p)
			over := wall-since(o) >= s.cfg.OffsetsRetentionMillis
			if o.expireWall >= 0 {
				over = wall >= o.expireWall
			}
			if !over || s.offsets.isPending(g.id, topic, p) { // OFFS-15
				all = false
				continue
			}
			records = append(records, offsetTombstone(g.id, topic, p))
		}
	}
	return records, all && s.offsets.open[g.id] == nil
}

// DeleteTopics deletes the offsets of topics that are gone, in all groups (OFFS-18).
func (s *Shard) DeleteTopics(out *coord.Output, topics []string) {
	type row struct {
		group, topic string
		partition    int32
	}
	seen := map[row]bool{}
	var records []coord.Record
	add := func(group, topic string, partition int32) {
		if r := (row{group, topic, partition}); !seen[r] {
			seen[r] = true
			records = append(records, offsetTombstone(group, topic, partition))
		}
	}
	for _, group := range s.groupIDs() {
		offsets := s.offsets.committed[group]
		for _, topic := range topics {
			for _, p := range offsets.partitions(topic) {
				add(group, topic, p)
			}
		}
		if s.offsets.open[group] != nil {
			s.offsets.eachPending(group, func(topic string, p int32) {
				if slices.Contains(topics, topic) {
					add(group, topic, p)
				}
			})
		}
	}
	if len(records) == 0 {
		return
	}
	out.Write(coord.Write{Records: records, Splits: true, Done: func(_ *coord.Output, err error) {
		if err != nil {
			s.log.Warn("offsets of deleted topics could not be deleted", "topics", topics, "error", err)
		}
	}})
}
