package cases

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// fetchSessions covers incremental fetches, KIP-227.
func fetchSessions(l *diff.List) {
	l.Each("SESS/incremental", "SESS-02 SESS-04 SESS-08", diff.Versions(7, 12, 13, 17), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		id := openSession(c, v, topic, 0, 1)
		diff.Do(c, "nothing listed", v, inSession(id, 1))
		kit.Fill(t, c, topic, 1, kit.Values(t, "b"))
		diff.Do(c, "partition 1 has data", v, inSession(id, 2))
		next := inSession(id, 3)
		kit.AddFetch(next, topic, 0, 1)
		diff.Do(c, "partition 0 moves on", v, next)
		kit.Fill(t, c, topic, 0, kit.Values(t, "c"))
		diff.Do(c, "partition 0 has data", v, inSession(id, 4))
	})
	l.Each("SESS/errors", "SESS-05", diff.Versions(7, 12, 15), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "unknown session", v, inSession(123456789, 1))
		id := openSession(c, v, topic, 0)
		diff.Do(c, "epoch 3 for 1", v, inSession(id, 3))
		diff.Do(c, "epoch 1", v, inSession(id, 1))
		diff.Do(c, "epoch 1 again", v, inSession(id, 1))
	})
	l.Each("SESS/forget", "SESS-04 SESS-10", diff.Versions(7, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		id := openSession(c, v, topic, 0, 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		kit.Fill(t, c, topic, 1, kit.Values(t, "b"))
		req := inSession(id, 1)
		kit.Forget(req, topic, 0)
		diff.Do(c, "partition 1 is left", v, req)
		req = inSession(id, 2)
		kit.Forget(req, topic, 1)
		diff.Do(c, "none is left", v, req)
		diff.Do(c, "the session", v, inSession(id, 3))
	})
	l.Add("SESS/close", "SESS-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		id := openSession(c, 12, topic, 0)
		req := kit.Fetch(topic, 0, 0)
		req.SessionID = id
		diff.Do(c, "epoch -1 with id", 12, req)
		diff.Do(c, "the session", 12, inSession(id, 1))
	})
	l.Add("SESS/reopen", "SESS-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		id := openSession(c, 12, topic, 0)
		req := kit.Fetch(topic, 0, 0)
		req.SessionID, req.SessionEpoch = id, 0
		resp := diff.Do(c, "epoch 0 with id", 12, req)
		diff.Do(c, "the old session", 12, inSession(id, 1))
		diff.Do(c, "the new session", 12, inSession(resp.SessionID, 1))
	})
	l.Add("SESS/ids_and_names_do_not_mix", "SESS-06", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		byName := openSession(c, 12, topic, 0)
		req := inSession(byName, 1)
		kit.AddFetch(req, topic, 0, 0)
		diff.Do(c, "by id in a session by name", 13, req)
		byID := openSession(c, 13, topic, 0)
		req = inSession(byID, 1)
		kit.AddFetch(req, topic, 0, 0)
		diff.Do(c, "by name in a session by id", 12, req)
	})
	l.Add("SESS/other_connection", "SESS-14", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		id := openSession(c, 12, topic, 0)
		c.Close()
		kit.Fill(t, other, topic, 0, kit.Values(t, "a"))
		diff.Do(other, "continued", 12, inSession(id, 1))
	})
	l.Add("SESS/error_row_once", "SESS-08 SESS-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Fetch(topic, 0, 50)
		req.SessionEpoch = 0
		id := diff.Do(c, "out of range", 12, req).SessionID
		diff.Do(c, "again", 12, inSession(id, 1))
		req = inSession(id, 2)
		kit.AddFetch(req, topic, 0, 0)
		diff.Do(c, "mended", 12, req)
		diff.Do(c, "afterwards", 12, inSession(id, 3))
	})
	l.Add("SESS/log_start_moves", "SESS-08", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"))
		req := kit.Fetch(topic, 0, 3)
		req.SessionEpoch = 0
		id := diff.Do(c, "open", 12, req).SessionID
		diff.Do(c, "delete records", 2, kit.DeleteRecords(topic, 0, 2))
		diff.Do(c, "start moved", 12, inSession(id, 1))
		diff.Do(c, "nothing more", 12, inSession(id, 2))
	})
}

// openSession asks for a session over partitions of one topic, from offset 0.
func openSession(c *diff.Conn, v int16, topic kit.Topic, partitions ...int32) int32 {
	req := inSession(0, 0)
	for _, p := range partitions {
		kit.AddFetch(req, topic, p, 0)
	}
	return diff.Do(c, "open", v, req).SessionID
}

func inSession(id, epoch int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MinBytes, req.MaxBytes = 1, 1<<20
	req.SessionID, req.SessionEpoch = id, epoch
	return req
}
