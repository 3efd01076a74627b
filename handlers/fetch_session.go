package handlers

import (
	"container/list"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch sessions (KIP-227): the broker remembers the partitions that a client reads, so that a request names only what changed, and the answer
// only what has something to say. Sessions belong to the broker, not to a connection (SESS-14).

const (
	finalEpoch   int32 = -1 // no session, or the end of one
	initialEpoch int32 = 0  // the begin of one

	// sessionUnusedTime is how long a session has to be unused before another may take its place (SESS-11).
	sessionUnusedTime = 2 * time.Minute
	// maxSessionPartitions bounds the partitions of all sessions together. A fetch that doesn't fit gets no session, and works without.
	maxSessionPartitions = 300_000
	// maxSessionTopicName is the longest topic name that a session keeps: there are no longer ones.
	maxSessionTopicName = 249
)

// fetchState is the cache of sessions.
type fetchState struct {
	mu         sync.Mutex
	sessions   map[int32]*fetchSession
	byUse      list.List // of *fetchSession, the longest unused one first
	partitions int
}

// sessionKey names a partition in a session: by id from v13 on, by name before.
type sessionKey struct {
	topic     string
	id        cluster.TopicID
	partition int32
}

// sessionPartition is a partition of a session and what the client was last told of it.
type sessionPartition struct {
	fetchPartition
	highWatermark, logStart int64
	removed                 bool
}

// fetchSession is one session. Its mutex guards everything but what the cache's guards.
type fetchSession struct {
	id      int32
	byID    bool
	created time.Time

	// The cache's mutex guards these.
	size     int // partitions as counted in the cache
	lastUsed time.Time
	used     *list.Element
	settled  bool // was in use for long enough to give way to a larger one, when last used

	mu         sync.Mutex
	epoch      int32 // the next request's
	partitions map[sessionKey]*sessionPartition
	// order is the partitions in the order in which they are read. Some may be removed ones, which are swept now and then.
	order []*sessionPartition
}

// fetchContext is a fetch's part in a session.
type fetchContext struct {
	h       *Handlers
	session *fetchSession // of an incremental fetch
	epoch   int32         // which the session must have at its end
	creates bool
	byID    bool
}

func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1 // SESS-07
	}
	return epoch + 1
}

// open finds the session of a request, notes what the request changes of it, and gives the partitions to read.
func (f *fetching) open(req *kmsg.FetchRequest, img *cluster.Image) (asked []fetchPartition, code int16) {
	f.ctx = fetchContext{h: f.h, byID: req.Version >= 13}
	if req.SessionEpoch == initialEpoch || req.SessionEpoch == finalEpoch || req.Version < 7 {
		if req.SessionID != 0 {
			f.h.fetches.remove(req.SessionID)
		}
		f.ctx.creates = req.SessionEpoch == initialEpoch && req.Version >= 7
		return fullFetch(req), 0
	}
	s := f.h.fetches.find(req.SessionID)
	if s == nil {
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != req.SessionEpoch:
		return nil, kerr.InvalidFetchSessionEpoch.Code
	case s.byID != f.ctx.byID:
		return nil, kerr.FetchSessionTopicIDError.Code // SESS-06
	}
	if !s.update(req) {
		f.h.fetches.remove(s.id)
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	if len(s.partitions) == 0 { // SESS-10
		f.h.fetches.remove(s.id)
		return fullFetch(req), 0
	}
	if !f.h.fetches.touch(s, len(s.partitions), f.h.Now()) {
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	s.epoch = nextEpoch(s.epoch)
	f.ctx.session, f.ctx.epoch = s, s.epoch
	asked = make([]fetchPartition, 0, len(s.partitions))
	for _, p := range s.order {
		if p.removed {
			continue
		}
		if s.byID && p.resolved == "" {
			if t := img.TopicByID(p.id); t != nil {
				p.resolved = t.Name
			}
		}
		asked = append(asked, p.fetchPartition)
	}
	return asked, 0
}

// fullFetch lists what a request names. A partition that is named more than once is asked for as it was named last, in the place of the first.
func fullFetch(req *kmsg.FetchRequest) []fetchPartition {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	asked := make([]fetchPartition, 0, n)
	var places map[sessionKey]int
	if n > fewPartitions {
		places = make(map[sessionKey]int, n)
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			ask := askedFor(t, &t.Partitions[j])
			if at := placeOf(asked, places, &ask); at >= 0 {
				asked[at] = ask
				continue
			}
			if places != nil {
				places[ask.key()] = len(asked)
			}
			asked = append(asked, ask)
		}
	}
	return asked
}

// placeOf finds a partition among those asked for, in places where there is such a map; -1 where it isn't there.
func placeOf(asked []fetchPartition, places map[sessionKey]int, p *fetchPartition) int {
	if places != nil {
		if at, ok := places[p.key()]; ok {
			return at
		}
		return -1
	}
	return slices.IndexFunc(asked, func(a fetchPartition) bool { return a.partition == p.partition && sameTopic(&a, p) })
}

func askedFor(t *kmsg.FetchRequestTopic, p *kmsg.FetchRequestTopicPartition) fetchPartition {
	return fetchPartition{
		topic: t.Topic, id: t.TopicID, partition: p.Partition, offset: p.FetchOffset, maxBytes: p.PartitionMaxBytes,
		currentLeaderEpoch: p.CurrentLeaderEpoch, lastFetchedEpoch: p.LastFetchedEpoch,
	}
}

func (p *fetchPartition) key() sessionKey { return sessionKey{p.topic, p.id, p.partition} }

// update adds, changes and forgets partitions as the request says (SESS-04). It returns false where they can't be kept. The session's mutex is held.
func (s *fetchSession) update(req *kmsg.FetchRequest) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		if len(t.Topic) > maxSessionTopicName {
			return false
		}
		for j := range t.Partitions {
			ask := askedFor(t, &t.Partitions[j])
			if p, ok := s.partitions[ask.key()]; ok {
				ask.resolved = p.resolved
				p.fetchPartition = ask
				continue
			}
			s.add(ask)
		}
	}
	for _, t := range req.ForgottenTopics {
		for _, partition := range t.Partitions {
			k := sessionKey{t.Topic, t.TopicID, partition}
			if p, ok := s.partitions[k]; ok {
				p.removed = true
				delete(s.partitions, k)
			}
		}
	}
	s.sweep()
	return true
}

func (s *fetchSession) add(ask fetchPartition) *sessionPartition {
	p := &sessionPartition{fetchPartition: ask, highWatermark: -1, logStart: -1}
	s.partitions[ask.key()] = p
	s.order = append(s.order, p)
	return p
}

// sweep drops removed partitions from the order once they are many.
func (s *fetchSession) sweep() {
	if len(s.order) < 2*len(s.partitions)+16 {
		return
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if !p.removed {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// finish gives the session id to answer with, and leaves in rows what the answer has to say. An error code is for the whole request.
func (c *fetchContext) finish(rows *[]fetchRow) (id int32, code int16) {
	switch {
	case c.session != nil:
		return c.session.finish(c.epoch, rows)
	case c.creates:
		return c.h.fetches.create(c, *rows), 0
	default:
		return 0, 0
	}
}

func (s *fetchSession) finish(epoch int32, rows *[]fetchRow) (id int32, code int16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch { // SESS-13
		return 0, kerr.InvalidFetchSessionEpoch.Code
	}
	kept := (*rows)[:0]
	var last []*sessionPartition // those with records go to the end of the order (FETCH-35)
	for _, row := range *rows {
		p, ok := s.partitions[row.ask.key()]
		if !ok {
			kept = append(kept, row)
			continue
		}
		if p.tell(&row) {
			kept = append(kept, row)
		} else {
			row.release()
		}
		if row.hasRecords() {
			last = append(last, p)
		}
	}
	*rows = kept
	for i, p := range last {
		moved := *p
		p.removed = true
		last[i] = &moved
		s.partitions[p.key()] = &moved
	}
	s.order = append(s.order, last...)
	s.sweep()
	return s.id, 0
}

// tell notes what the client is told of a partition and says whether that is anything new (SESS-08, SESS-09).
func (p *sessionPartition) tell(row *fetchRow) bool {
	if row.code != 0 {
		p.highWatermark = -1 // so that recovery is told, too
		return true
	}
	news := row.read.Records.Bytes > 0 || row.read.HighWatermark != p.highWatermark || row.read.LogStartOffset != p.logStart || row.read.Diverging != nil
	p.highWatermark, p.logStart = row.read.HighWatermark, row.read.LogStartOffset
	if row.read.Diverging != nil {
		p.highWatermark = -1
	}
	return news
}

func (c *fetchState) find(id int32) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

func (c *fetchState) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.drop(s)
	}
}

func (c *fetchState) drop(s *fetchSession) {
	delete(c.sessions, s.id)
	c.byUse.Remove(s.used)
	c.partitions -= s.size
}

// touch notes that a session is used and how large it is. It returns false where the session is gone, or has grown too large and goes now.
func (c *fetchState) touch(s *fetchSession, size int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[s.id] != s {
		return false
	}
	if c.partitions+size-s.size > maxSessionPartitions && size > s.size {
		c.drop(s)
		return false
	}
	c.partitions += size - s.size
	s.size, s.lastUsed, s.settled = size, now, now.Sub(s.created) > sessionUnusedTime
	c.byUse.MoveToBack(s.used)
	return true
}

// create makes a session of a full fetch, with its partitions in the order of the answer; 0 where there is no room for it.
func (c *fetchState) create(ctx *fetchContext, rows []fetchRow) int32 {
	now := ctx.h.Now()
	s := &fetchSession{byID: ctx.byID, epoch: 1, partitions: make(map[sessionKey]*sessionPartition, len(rows)), created: now, lastUsed: now, size: len(rows)}
	for i := range rows {
		if len(rows[i].ask.topic) > maxSessionTopicName {
			return 0
		}
		s.add(*rows[i].ask).tell(&rows[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions+s.size > maxSessionPartitions || len(c.sessions) >= ctx.h.Static.Int("max.incremental.fetch.session.cache.slots") && !c.evict(s) {
		return 0
	}
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = rand.Int32N(math.MaxInt32-1) + 1
	}
	if c.sessions == nil {
		c.sessions = map[int32]*fetchSession{}
	}
	c.sessions[s.id] = s
	s.used = c.byUse.PushBack(s)
	c.partitions += s.size
	return s.id
}

// evict makes room for a session: the longest unused one goes where it is unused for long enough, else the smallest of those that were in use for
// that long, where it is smaller (SESS-11).
func (c *fetchState) evict(s *fetchSession) bool {
	first := c.byUse.Front()
	if first == nil {
		return false
	}
	if oldest := first.Value.(*fetchSession); s.created.Sub(oldest.lastUsed) > sessionUnusedTime {
		c.drop(oldest)
		return true
	}
	var smallest *fetchSession
	for e := first; e != nil; e = e.Next() {
		if o := e.Value.(*fetchSession); o.settled && o.size < s.size && (smallest == nil || o.size < smallest.size) {
			smallest = o
		}
	}
	if smallest == nil {
		return false
	}
	c.drop(smallest)
	return true
}
