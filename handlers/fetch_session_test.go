package handlers

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// inSession is a fetch in a session that doesn't wait.
func inSession(id, epoch int32, topics ...kmsg.FetchRequestTopic) *kmsg.FetchRequest {
	req := fetchOf(0, topics...)
	req.SessionID, req.SessionEpoch = id, epoch
	return req
}

func forget(req *kmsg.FetchRequest, topic string, partitions ...int32) *kmsg.FetchRequest {
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.Partitions = topic, partitions
	req.ForgottenTopics = append(req.ForgottenTopics, f)
	return req
}

// opened opens a session and gives its id.
func (c *client) opened(version int16, topics ...kmsg.FetchRequestTopic) int32 {
	c.t.Helper()
	resp := do[*kmsg.FetchResponse](c, version, inSession(0, 0, topics...))
	if resp.ErrorCode != 0 || resp.SessionID <= 0 {
		c.t.Fatalf("no session: %+v", resp)
	}
	return resp.SessionID
}

// wantRows checks the answer to a request in a session: its rows as offsets shows them.
func (c *client) wantRows(what string, version int16, req *kmsg.FetchRequest, want string) *kmsg.FetchResponse {
	c.t.Helper()
	resp := do[*kmsg.FetchResponse](c, version, req)
	if got := offsets(c.t, resp); resp.ErrorCode != 0 || got != want {
		c.t.Errorf("%s: error %d, rows %q, want %q", what, resp.ErrorCode, got, want)
	}
	return resp
}

// wantRefused checks an error for the whole request: it has no rows.
func (c *client) wantRefused(what string, version int16, req *kmsg.FetchRequest, code *kerr.Error) {
	c.t.Helper()
	resp := do[*kmsg.FetchResponse](c, version, req)
	if resp.ErrorCode != code.Code || resp.SessionID != 0 || len(resp.Topics) != 0 {
		c.t.Errorf("%s: %+v, want error %d", what, resp, code.Code)
	}
}

func (b *dataBroker) sessions() int {
	b.h.fetches.mu.Lock()
	defer b.h.fetches.mu.Unlock()
	return len(b.h.fetches.sessions)
}

func TestFetchSession_SESS_01_02_03_how_sessions_begin_and_end(t *testing.T) {
	for v := int16(7); v <= fetchMax; v++ {
		bubble(t, func(b *dataBroker) {
			id := b.create("t", 1)
			b.fill("t", 0, 10)
			topic := byID(fetchTopicOf("t", 0, 0), id)
			if resp := b.client.wantRows("sessionless", v, inSession(0, -1, topic), "0:[0] "); resp.SessionID != 0 || b.sessions() != 0 {
				t.Errorf("v%d: session %d, %d kept", v, resp.SessionID, b.sessions())
			}
			first := b.client.opened(v, topic)
			resp := b.client.wantRows("epoch 0 with an id", v, inSession(first, 0, topic), "0:[0] ")
			if resp.SessionID == first || resp.SessionID == 0 || b.sessions() != 1 {
				t.Errorf("v%d: the session %d should have made room for %d, %d kept", v, first, resp.SessionID, b.sessions())
			}
			b.client.wantRefused("the first", v, inSession(first, 1), kerr.FetchSessionIDNotFound)
			second := resp.SessionID
			if resp = b.client.wantRows("epoch -1 with an id", v, inSession(second, -1, topic), "0:[0] "); resp.SessionID != 0 || b.sessions() != 0 {
				t.Errorf("v%d: session %d, %d kept", v, resp.SessionID, b.sessions())
			}
			b.client.wantRefused("the second", v, inSession(second, 1), kerr.FetchSessionIDNotFound)
		})
	}
	bubble(t, func(b *dataBroker) { // below v7 there are none
		b.create("t", 1)
		for v := int16(fetchMin); v < 7; v++ {
			b.client.wantRows("below v7", v, inSession(0, 0, fetchTopicOf("t", 0, 0)), "0:[] ")
		}
		if b.sessions() != 0 {
			t.Errorf("%d sessions", b.sessions())
		}
	})
}

func TestFetchSession_SESS_04_08_only_what_is_new_is_answered(t *testing.T) {
	for _, v := range []int16{7, 11, 12, 13, 15, 18} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				id := b.create("t", 3)
				ask := func(partitionsAndOffsets ...int64) kmsg.FetchRequestTopic {
					return byID(fetchTopicOf("t", partitionsAndOffsets...), id)
				}
				b.fill("t", 0, 10)
				s := do[*kmsg.FetchResponse](b.client, v, inSession(0, 0, ask(0, 0, 1, 0)))
				if got := offsets(t, s); got != "0:[0] 1:[] " {
					t.Errorf("the first answer has all: %s", got)
				}
				next := int32(0)
				step := func(what, want string, topics ...kmsg.FetchRequestTopic) *kmsg.FetchResponse {
					t.Helper()
					next++
					resp := b.client.wantRows(what, v, inSession(s.SessionID, next, topics...), want)
					if resp.SessionID != s.SessionID {
						t.Errorf("%s: session %d", what, resp.SessionID)
					}
					return resp
				}
				step("partition 0 still has records at 0", "0:[0] ")
				step("partition 0 moves on", "", ask(0, 1))
				step("nothing new", "")
				b.fill("t", 1, 10)
				step("partition 1 has records", "1:[0] ")
				step("and goes on having them", "1:[0] ")
				step("partition 1 moves on, 2 comes", "2:[] ", ask(1, 1, 2, 0))
				b.fill("t", 2, 10)
				b.deleteRecords("t", 2, 0)
				step("partition 2 has records", "2:[0] ")
				step("partition 2 moves on", "", ask(2, 1))
				b.fill("t", 0, 10)
				b.deleteRecords("t", 0, 1)
				step("partition 0 has records and another start", "0:[1] ")
				step("moved on again", "", ask(0, 2))
				b.deleteRecords("t", 0, 2)
				if rows := step("the log's start alone", "0:[] ").Topics[0].Partitions; rows[0].LogStartOffset != 2 {
					t.Errorf("log start %d", rows[0].LogStartOffset)
				}
				step("told once", "")
			})
		})
	}
}

func TestFetchSession_SESS_05_SESS_07_epochs(t *testing.T) {
	for _, v := range []int16{7, 12, 13, 18} {
		bubble(t, func(b *dataBroker) {
			topic := byID(fetchTopicOf("t", 0, 0), b.create("t", 1))
			b.client.wantRefused("unknown", v, inSession(123, 1), kerr.FetchSessionIDNotFound)
			b.client.wantRefused("id 0", v, inSession(0, 1, topic), kerr.FetchSessionIDNotFound)
			b.client.wantRefused("epoch -2", v, inSession(0, -2, topic), kerr.FetchSessionIDNotFound)
			id := b.client.opened(v, topic)
			b.client.wantRefused("a later epoch", v, inSession(id, 2), kerr.InvalidFetchSessionEpoch)
			b.client.wantRows("the epoch", v, inSession(id, 1), "")
			b.client.wantRefused("the epoch again", v, inSession(id, 1), kerr.InvalidFetchSessionEpoch)
			b.client.wantRefused("a negative one", v, inSession(id, -2), kerr.InvalidFetchSessionEpoch)
			b.h.fetches.sessions[id].epoch = math.MaxInt32
			b.client.wantRows("the last epoch", v, inSession(id, math.MaxInt32), "")
			b.client.wantRows("and the one after it", v, inSession(id, 1), "")
		})
	}
}

func TestFetchSession_SESS_06_names_and_ids_do_not_mix(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		topic := byID(fetchTopicOf("t", 0, 0), b.create("t", 1))
		byName, byIDs := b.client.opened(12, topic), b.client.opened(13, topic)
		b.client.wantRefused("ids in a session of names", 13, inSession(byName, 1, topic), kerr.FetchSessionTopicIDError)
		b.client.wantRefused("names in a session of ids", 12, inSession(byIDs, 1, topic), kerr.FetchSessionTopicIDError)
		b.client.wantRows("neither harmed it", 12, inSession(byName, 1), "")
		b.client.wantRows("nor it", 13, inSession(byIDs, 1), "")
	})
}

func TestFetchSession_SESS_08_09_errors_are_always_told_and_so_is_recovery(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		id := b.client.opened(12, fetchTopicOf("t", 0, 0, 1, 50))
		code := func(req *kmsg.FetchRequest) (codes []int16) {
			for _, topic := range do[*kmsg.FetchResponse](b.client, 12, req).Topics {
				for _, row := range topic.Partitions {
					codes = append(codes, row.ErrorCode)
				}
			}
			return codes
		}
		for epoch := int32(1); epoch < 4; epoch++ {
			if got := code(inSession(id, epoch)); !slices.Equal(got, []int16{kerr.OffsetOutOfRange.Code}) {
				t.Errorf("epoch %d: %v", epoch, got)
			}
		}
		if got := code(inSession(id, 4, fetchTopicOf("t", 1, 0))); !slices.Equal(got, []int16{0}) {
			t.Errorf("mended: %v", got)
		}
		if got := code(inSession(id, 5)); got != nil {
			t.Errorf("told twice: %v", got)
		}
		b.faults.broken("t", 0, cluster.ErrNotLeader)
		if got := code(inSession(id, 6)); !slices.Equal(got, []int16{kerr.NotLeaderForPartition.Code}) {
			t.Errorf("led elsewhere: %v", got)
		}
		b.faults.give("t", 0, nil)
		if got := code(inSession(id, 7)); !slices.Equal(got, []int16{0}) {
			t.Errorf("led here again, nothing else changed: %v", got)
		}
	})
}

func TestFetchSession_FETCH_29_a_diverging_epoch_is_told_until_it_is_mended(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 10)
		topic := fetchTopicOf("t", 0, 7)
		topic.Partitions[0].LastFetchedEpoch = 0
		id := b.client.opened(12, topic)
		for epoch := int32(1); epoch < 3; epoch++ {
			resp := do[*kmsg.FetchResponse](b.client, 12, inSession(id, epoch))
			if len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].DivergingEpoch.EndOffset != 1 {
				t.Errorf("epoch %d: %+v", epoch, resp)
			}
		}
		b.client.wantRows("truncated", 12, inSession(id, 3, fetchTopicOf("t", 0, 1)), "0:[] ")
		b.client.wantRows("told once", 12, inSession(id, 4), "")
	})
}

func TestFetchSession_SESS_04_10_forgotten_partitions(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 3)
		for p := range int32(3) {
			b.fill("t", p, 10)
		}
		id := b.client.opened(12, fetchTopicOf("t", 0, 0, 1, 0, 2, 0))
		b.client.wantRows("1 and 2 are left", 12, forget(inSession(id, 1), "t", 0), "1:[0] 2:[0] ")
		b.client.wantRows("one that isn't there", 12, forget(inSession(id, 2), "t", 0, 77), "1:[0] 2:[0] ")
		b.client.wantRows("changed and forgotten", 12, forget(inSession(id, 3, fetchTopicOf("t", 2, 0)), "t", 2), "1:[0] ")
		resp := b.client.wantRows("the last one", 12, forget(inSession(id, 4), "t", 1), "")
		if resp.SessionID != 0 || b.sessions() != 0 {
			t.Errorf("session %d, %d kept", resp.SessionID, b.sessions())
		}
		b.client.wantRefused("afterwards", 12, inSession(id, 5), kerr.FetchSessionIDNotFound)
	})
}

func TestFetchSession_without_partitions_at_first(t *testing.T) {
	bubble(t, func(b *dataBroker) { // Kafka makes such a session, too
		b.create("t", 1)
		b.fill("t", 0, 10)
		id := b.client.opened(12)
		b.client.wantRows("one comes", 12, inSession(id, 1, fetchTopicOf("t", 0, 0)), "0:[0] ")
		id = b.client.opened(12)
		if resp := b.client.wantRows("none comes", 12, inSession(id, 1), ""); resp.SessionID != 0 {
			t.Errorf("session %d", resp.SessionID)
		}
	})
}

func TestFetchSession_SESS_11_slots_and_who_gives_way(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 4)
		small, large := fetchTopicOf("t", 0, 0, 1, 0), fetchTopicOf("t", 0, 0, 1, 0, 2, 0)
		refused := func(what string, topic kmsg.FetchRequestTopic) {
			t.Helper()
			if resp := do[*kmsg.FetchResponse](b.client, 12, inSession(0, 0, topic)); resp.SessionID != 0 || resp.ErrorCode != 0 || len(resp.Topics) != 1 {
				t.Errorf("%s: session %d, error %d, want a full fetch without one", what, resp.SessionID, resp.ErrorCode)
			}
		}
		first, second := b.client.opened(12, small), b.client.opened(12, small)
		refused("two slots, both taken", small)
		refused("larger, but the others are young", large)
		epochs := map[int32]int32{}
		use := func(id int32) {
			t.Helper()
			epochs[id]++
			b.client.wantRows("in use", 12, inSession(id, epochs[id]), "")
		}
		time.Sleep(sessionUnusedTime)
		use(first)
		use(second)
		refused("not older than the limit", large)
		time.Sleep(time.Second)
		use(first)
		use(second)
		refused("of the same size", small)
		third := b.client.opened(12, large) // larger than one that had its time
		alive := 0
		for _, id := range []int32{first, second} {
			if resp := do[*kmsg.FetchResponse](b.client, 12, inSession(id, epochs[id]+1)); resp.ErrorCode == 0 {
				alive++
				first = id
				epochs[id]++
			}
		}
		if alive != 1 {
			t.Errorf("%d of two small sessions are alive", alive)
		}
		time.Sleep(sessionUnusedTime / 2)
		use(third)
		time.Sleep(sessionUnusedTime/2 + time.Second)
		fourth := b.client.opened(12, fetchTopicOf("t", 0, 0)) // the smallest, but the first is unused for long
		b.client.wantRefused("the unused one", 12, inSession(first, epochs[first]+1), kerr.FetchSessionIDNotFound)
		use(third)
		use(fourth)
		if n := b.sessions(); n != 2 {
			t.Errorf("%d sessions", n)
		}
	}, "max.incremental.fetch.session.cache.slots", "2")
	bubble(t, func(b *dataBroker) { // SESS-15
		b.create("t", 1)
		if resp := do[*kmsg.FetchResponse](b.client, 12, inSession(0, 0, fetchTopicOf("t", 0, 0))); resp.SessionID != 0 {
			t.Errorf("a session without slots: %d", resp.SessionID)
		}
	}, "max.incremental.fetch.session.cache.slots", "0")
}

func TestFetchSession_memory_is_bounded(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		id := b.client.opened(12, fetchTopicOf("t", 0, 0))
		b.h.fetches.partitions = maxSessionPartitions - 1 // as if there were others
		if resp := do[*kmsg.FetchResponse](b.client, 12, inSession(0, 0, fetchTopicOf("t", 0, 0, 1, 0))); resp.SessionID != 0 {
			t.Error("a session beyond the limit")
		}
		b.client.wantRefused("one that grows beyond it", 12, inSession(id, 1, fetchTopicOf("t", 1, 0, 2, 0)), kerr.FetchSessionIDNotFound)
		if b.sessions() != 0 || b.h.fetches.partitions != maxSessionPartitions-2 {
			t.Errorf("%d sessions, %d partitions", b.sessions(), b.h.fetches.partitions)
		}
		long := strings.Repeat("x", maxSessionTopicName+1)
		if resp := do[*kmsg.FetchResponse](b.client, 12, inSession(0, 0, fetchTopicOf(long, 0, 0))); resp.SessionID != 0 || resp.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("a name that no topic can have: %+v", resp)
		}
		id = b.client.opened(12, fetchTopicOf("t", 0, 0))
		b.client.wantRefused("one more such name", 12, inSession(id, 1, fetchTopicOf(long, 0, 0)), kerr.FetchSessionIDNotFound)
	})
}

func TestFetchSession_SESS_13_the_epoch_is_looked_at_again_when_the_wait_is_over(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		id := b.client.opened(12, fetchTopicOf("t", 0, 0))
		waiting := inSession(id, 1)
		waiting.MaxWaitMillis = 60_000
		first := send[*kmsg.FetchResponse](b.client, 12, waiting)
		synctest.Wait()
		other := b.dial() // the same client, on another connection
		other.wantRows("the next epoch", 12, inSession(id, 2), "")
		b.fill("t", 0, 10)
		if resp, _ := first.get(); resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code || len(resp.Topics) != 0 {
			t.Errorf("the overtaken request: %+v", resp)
		}
		other.wantRows("what it would have got is still new", 12, inSession(id, 3), "0:[0] ")
	})
}

func TestFetchSession_SESS_14_sessions_outlive_connections(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		c := b.dial()
		id := c.opened(12, fetchTopicOf("t", 0, 0))
		c.conn.Close()
		b.fill("t", 0, 10)
		b.client.wantRows("continued", 12, inSession(id, 1), "0:[0] ")
	})
}

func TestFetchSession_FETCH_35_partitions_with_records_go_to_the_end(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 4)
		for p := range int32(4) {
			b.fill("t", p, 1000)
		}
		id := b.client.opened(12, fetchTopicOf("t", 0, 0, 1, 0, 2, 0, 3, 0))
		seen := map[string]int{}
		for epoch := int32(1); epoch <= 8; epoch++ {
			req := inSession(id, epoch)
			req.MaxBytes = 1
			seen[offsets(t, do[*kmsg.FetchResponse](b.client, 12, req))]++
		}
		for p := range 4 {
			if n := seen[fmt.Sprintf("%d:[0] ", p)]; n != 2 {
				t.Errorf("partition %d was served %d times of 8: %v", p, n, seen)
			}
		}
		if s := b.h.fetches.sessions[id]; len(s.order) > 2*len(s.partitions)+16 {
			t.Errorf("%d entries for %d partitions", len(s.order), len(s.partitions))
		}
	})
}

func TestFetchSession_FETCH_23_topics_that_go_and_come_again(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		row := func(version int16, req *kmsg.FetchRequest) int16 {
			t.Helper()
			resp := do[*kmsg.FetchResponse](b.client, version, req)
			if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
				t.Fatalf("%+v", resp)
			}
			return resp.Topics[0].Partitions[0].ErrorCode
		}
		byIDs := b.client.opened(13, byID(fetchTopicOf("", 0, 0), id))
		byName := b.client.opened(12, fetchTopicOf("t", 0, 0))
		nobody := b.client.opened(13, byID(fetchTopicOf("", 0, 0), cluster.TopicID{7}))
		b.delete("t")
		wantCode(t, "deleted, by id", row(13, inSession(byIDs, 1)), kerr.UnknownTopicOrPartition.Code)
		wantCode(t, "deleted and named again, by id", row(13, inSession(byIDs, 2, byID(fetchTopicOf("", 0, 0), id))), kerr.UnknownTopicOrPartition.Code)
		wantCode(t, "deleted, by name", row(12, inSession(byName, 1)), kerr.UnknownTopicOrPartition.Code)
		b.create("t", 1)
		b.fill("t", 0, 10)
		wantCode(t, "another topic of the name, by id", row(13, inSession(byIDs, 3)), kerr.InconsistentTopicID.Code)
		wantCode(t, "another topic of the name, by name", row(12, inSession(byName, 2)), 0)
		wantCode(t, "an id that never was there", row(13, inSession(nobody, 1)), kerr.UnknownTopicID.Code)
	})
}
