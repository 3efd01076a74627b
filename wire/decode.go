package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kbroker/kbroker/wire/guard"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsKey is the one API of which unknown versions are answered, and whose response header never has tags.
const apiVersionsKey = 18

var (
	errHeader    = errors.New("malformed request header")
	errNotServed = errors.New("an API or a version that isn't served")
	errPanic     = errors.New("the handler panicked")
)

// servedAPI is an API of the table, with what is computed from it once.
type servedAPI struct {
	API
	requestFlexibleFrom, responseFlexibleFrom int16
	bodies                                    sync.Pool // of kmsg.Request, where ReusesBody
}

const neverFlexible = 1<<15 - 1

func newServedAPI(a API) (*servedAPI, error) {
	req := kmsg.RequestForKey(a.Key)
	if req == nil {
		return nil, fmt.Errorf("API %d has no request type", a.Key)
	}
	if a.MinVersion < 0 || a.MinVersion > a.MaxVersion || a.MaxVersion > req.MaxVersion() {
		return nil, fmt.Errorf("API %d: versions %d to %d can't be served", a.Key, a.MinVersion, a.MaxVersion)
	}
	s := &servedAPI{API: a, requestFlexibleFrom: neverFlexible, responseFlexibleFrom: neverFlexible}
	resp := req.ResponseKind()
	for v := req.MaxVersion(); v >= 0; v-- {
		req.SetVersion(v)
		resp.SetVersion(v)
		if req.IsFlexible() {
			s.requestFlexibleFrom = v
		}
		if resp.IsFlexible() {
			s.responseFlexibleFrom = v
		}
	}
	if a.Key == apiVersionsKey {
		s.responseFlexibleFrom = neverFlexible
	}
	return s, nil
}

// header is what stands before a request's body.
type header struct {
	key, version  int16
	correlationID int32
	clientID      []byte // nil for null
}

// parseHeader reads a request header of version 1, or 2 where flexible says so for its key and version, and gives the body behind it.
func parseHeader(frame []byte, flexible func(key, version int16) bool) (h header, body []byte, err error) {
	if len(frame) < 10 {
		return h, nil, errHeader
	}
	h.key = int16(binary.BigEndian.Uint16(frame))
	h.version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.correlationID = int32(binary.BigEndian.Uint32(frame[4:]))
	n := int(int16(binary.BigEndian.Uint16(frame[8:])))
	body = frame[10:]
	if n >= 0 {
		if n > len(body) {
			return h, nil, errHeader
		}
		h.clientID, body = body[:n:n], body[n:]
	}
	if !flexible(h.key, h.version) {
		return h, body, nil
	}
	if len(body) > 0 && body[0] == 0 {
		return h, body[1:], nil
	}
	count, body, ok := uvarint(body)
	if !ok || count > maxHeaderTags {
		return h, nil, errHeader
	}
	for range count {
		var size uint32
		if _, body, ok = uvarint(body); !ok {
			return h, nil, errHeader
		}
		if size, body, ok = uvarint(body); !ok || int64(size) > int64(len(body)) {
			return h, nil, errHeader
		}
		body = body[size:]
	}
	return h, body, nil
}

func uvarint(b []byte) (uint32, []byte, bool) {
	v, n := binary.Uvarint(b[:min(len(b), 5)])
	if n <= 0 || v > 1<<32-1 {
		return 0, nil, false
	}
	return uint32(v), b[n:], true
}

// api gives a served API, or nil.
func (s *Server) api(key int16) *servedAPI {
	if key < 0 || int(key) >= len(s.apis) {
		return nil
	}
	return s.apis[key]
}

func (s *Server) flexibleRequest(key, version int16) bool {
	a := s.api(key)
	return a != nil && version >= a.requestFlexibleFrom
}

// handle decodes a frame and gives it to the handler. An error is the peer's fault, and ends the connection.
func (c *Conn) handle(frame []byte, now time.Time) error {
	s := c.srv
	h, body, err := parseHeader(frame, s.flexible)
	if err != nil {
		return err
	}
	a := s.api(h.key)
	if a == nil {
		return fmt.Errorf("%w: key %d", errNotServed, h.key)
	}
	r := &Request{
		Conn: c, Key: h.key, Version: h.version, CorrelationID: h.correlationID,
		HasClientID: h.clientID != nil, Received: now, Bytes: len(frame),
	}
	if string(h.clientID) != c.clientID {
		c.clientID = string(h.clientID)
	}
	r.ClientID = c.clientID
	reuse := false
	switch {
	case h.version >= a.MinVersion && h.version <= a.MaxVersion:
		if !a.ReusesFrame && len(body) > 0 {
			var kept []byte
			if kept, r.state.share, err = c.keep(frame); err != nil {
				return err
			}
			r.state.kept = int64(len(kept))
			body = kept[len(frame)-len(body):]
		}
		if reuse, err = r.decode(a, body); err != nil {
			s.budget.release(&r.state.share)
			return err
		}
		r.state.flexible = h.version >= a.responseFlexibleFrom
	case h.key == apiVersionsKey:
		r.UnsupportedVersion = true
	default:
		return fmt.Errorf("%w: %s (%d) version %d", errNotServed, a.Name, h.key, h.version)
	}
	if !c.enqueue(r) {
		s.budget.release(&r.state.share)
		return nil
	}
	if a.MayBlock {
		c.flush()
	}
	decoded := r.Body
	if !c.guarded(func() { s.handler(r) }) {
		r.Close(errPanic)
		return nil
	}
	if reuse {
		r.Body = nil
		a.bodies.Put(decoded)
	}
	if c.much.Load() {
		c.much.Store(false)
		c.flush()
	}
	return nil
}

// decode makes the request's body. It says whether that may be used again after the handler returned.
func (r *Request) decode(a *servedAPI, body []byte) (reuse bool, err error) {
	checked, err := guard.Check(r.Key, r.Version, body)
	if err != nil {
		return false, fmt.Errorf("%s version %d: %w", a.Name, r.Version, err)
	}
	reuse = a.ReusesFrame && a.ReusesBody
	if reuse {
		r.Body, _ = a.bodies.Get().(kmsg.Request)
	}
	if r.Body == nil {
		r.Body = kmsg.RequestForKey(r.Key)
	}
	r.Body.SetVersion(r.Version)
	if unsafe, ok := r.Body.(kmsg.UnsafeReadFrom); ok && a.UnsafeStrings {
		err = unsafe.UnsafeReadFrom(checked)
	} else {
		err = r.Body.ReadFrom(checked)
	}
	if err != nil {
		return false, fmt.Errorf("%s version %d: %w", a.Name, r.Version, err)
	}
	return reuse, nil
}
