package cases

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// fetchSessions covers incremental fetches, KIP-227.
func fetchSessions(l *diff.List) {
	sessionsOfMany(l)
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

// sessionsOfMany covers sessions whose partitions come, go and fail.
func sessionsOfMany(l *diff.List) {
	l.Each("SESS/many/added_forgotten_and_replaced", "SESS-04", diff.Versions(7, 12, 13, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 3), kit.NewTopic(t, c, "b", 1)
		id := openSession(c, v, a, 0, 1)
		for p := range int32(3) {
			kit.Fill(t, c, a, p, kit.Values(t, "x", "y"))
		}
		kit.Fill(t, c, b, 0, kit.Values(t, "z"))
		req := inSession(id, 1)
		kit.AddFetch(req, b, 0, 0)
		kit.AddFetch(req, a, 2, 1)
		kit.Forget(req, a, 1)
		diff.Do(c, "added and forgotten", v, req)
		req = inSession(id, 2)
		kit.AddFetch(req, a, 0, 2)
		kit.AddFetch(req, a, 2, 2)
		kit.AddFetch(req, b, 0, 1)
		diff.Do(c, "moved to the end", v, req)
		req = inSession(id, 3)
		kit.Forget(req, a, 1, 7)
		kit.Forget(req, kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0)
		diff.Do(c, "forget what isn't there", v, req)
		req = inSession(id, 4)
		kit.AddFetch(req, a, 0, 0)
		kit.Forget(req, a, 0)
		diff.Do(c, "added and forgotten at once", v, req)
		diff.Do(c, "nothing", v, inSession(id, 5))
	})
	l.Each("SESS/many/errors_among_them", "SESS-08 SESS-09", diff.Versions(7, 12, 13, 17), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 0, kit.Values(t, "x"))
		req := inSession(0, 0)
		kit.AddFetch(req, topic, 0, 0)
		kit.AddFetch(req, topic, 1, 9)
		kit.AddFetch(req, topic, 5, 0)
		kit.AddFetch(req, kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0, 0)
		id := diff.Do(c, "open", v, req).SessionID
		diff.Do(c, "again", v, inSession(id, 1))
		req = inSession(id, 2)
		kit.AddFetch(req, topic, 1, 0)
		kit.Forget(req, topic, 5)
		diff.Do(c, "mended", v, req)
		diff.Do(c, "afterwards", v, inSession(id, 3))
	})
	l.Each("SESS/many/topic_is_deleted", "SESS-08 META-34", diff.Versions(7, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 1), kit.NewTopic(t, c, "b", 1)
		kit.Fill(t, c, b, 0, kit.Values(t, "x"))
		req := inSession(0, 0)
		kit.AddFetch(req, a, 0, 0)
		kit.AddFetch(req, b, 0, 0)
		id := diff.Do(c, "open", v, req).SessionID
		t.Quiet(func() { diff.Do(c, "delete", 6, kit.DeleteTopic(a.Name)) })
		settle(t)
		diff.Do(c, "one is gone", v, inSession(id, 1))
		diff.Do(c, "again", v, inSession(id, 2))
	})
	l.Each("SESS/many/topic_comes_to_be", "SESS-08 SESS-09", diff.Versions(7, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 1)
		req := inSession(0, 0)
		kit.AddFetch(req, a, 0, 0)
		kit.AddFetch(req, kit.Topic{Name: t.Name("b")}, 0, 0)
		id := diff.Do(c, "open", v, req).SessionID
		b := kit.NewTopic(t, c, "b", 1)
		diff.Do(c, "now there", v, inSession(id, 1))
		kit.Fill(t, c, b, 0, kit.Values(t, "x"))
		diff.Do(c, "has data", v, inSession(id, 2))
	})
	l.Each("SESS/many/recreated", "SESS-08 META-14", diff.Versions(12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 1)
		id := openSession(c, v, a, 0)
		t.Quiet(func() { diff.Do(c, "delete", 6, kit.DeleteTopic(a.Name)) })
		settle(t)
		again := kit.NewTopic(t, c, "a", 1)
		kit.Fill(t, c, again, 0, kit.Values(t, "x"))
		diff.Do(c, "again", v, inSession(id, 1))
		req := inSession(id, 2)
		kit.AddFetch(req, again, 0, 0)
		diff.Do(c, "with the new one", v, req)
		diff.Do(c, "afterwards", v, inSession(id, 3))
	})
	l.Each("SESS/many/turns", "FETCH-35 SESS-04", diff.Versions(12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 4)
		for p := range int32(4) {
			kit.Fill(t, c, topic, p, kit.Values(t, "a"), kit.Values(t, "b"))
		}
		req := inSession(0, 0)
		for p := range int32(4) {
			kit.AddFetch(req, topic, p, 0)
		}
		req.MaxBytes = 80
		id := diff.Do(c, "open", v, req).SessionID
		for epoch := int32(1); epoch <= 5; epoch++ {
			req := inSession(id, epoch)
			req.MaxBytes = 80
			diff.Do(c, "next", v, req)
		}
	})
	l.Each("SESS/many/empty", "SESS-10 SESS-02", diff.Versions(7, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "open without partitions", v, inSession(0, 0))
		diff.Do(c, "sessionless without partitions", v, inSession(0, -1))
		diff.Do(c, "epoch 5 without a session", v, inSession(0, 5))
		diff.Do(c, "negative epoch", v, inSession(0, -2))
	})
	l.Add("SESS/many/long_poll", "SESS-08 FETCH-08", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		id := openSession(c, 12, topic, 0, 1)
		req := inSession(id, 1)
		req.MaxWaitMillis = 600
		diff.Do(c, "nothing comes", 12, req, diff.Waits(600*time.Millisecond))
		req = inSession(id, 2)
		req.MaxWaitMillis = 8000
		parked := diff.Start(c, "parked", 12, req)
		c.Silent("before the produce", 200*time.Millisecond)
		diff.Do(other, "produce", 9, kit.Produce(topic, 1, kit.Values(t, "a").Bytes()))
		parked.Wait(diff.Waits(8 * time.Second))
	})
	l.Add("SESS/many/limits_change", "SESS-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"), kit.Values(t, "b"), kit.Values(t, "c"))
		id := openSession(c, 12, topic, 0)
		req := inSession(id, 1)
		kit.AddFetch(req, topic, 0, 1).PartitionMaxBytes = 80
		diff.Do(c, "smaller", 12, req)
		diff.Do(c, "kept", 12, inSession(id, 2))
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
