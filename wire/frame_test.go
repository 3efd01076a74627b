package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFrame_CONN_01_responses_carry_the_correlation_id(t *testing.T) {
	c := start(t, Limits{}, nil).dial()
	for _, id := range []int32{0, -1, 1<<31 - 1, -1 << 31} {
		c.next = id - 1
		c.want(c.send(9, metadata()))
	}
}

func TestFrame_CONN_01_a_request_may_come_in_single_bytes(t *testing.T) {
	c := start(t, Limits{}, nil).dial()
	req := metadata()
	req.SetVersion(7)
	for _, b := range c.frame(req) {
		c.write([]byte{b})
	}
	c.want(c.next)
}

func TestHeader_CONN_02_03_versions_of_headers(t *testing.T) {
	var got []*Request
	s := start(t, Limits{}, func(r *Request) { got = append(got, r); answerEmpty(r) })
	c := s.dial()
	for _, test := range []struct {
		version    int16
		req        kmsg.Request
		headerTags bool // in the response
	}{
		{8, metadata(), false},
		{9, metadata(), true},
		{2, apiVersions(), false},
		{3, apiVersions(), false},
		{4, apiVersions(), false},
		{2, kmsg.NewPtrFindCoordinatorRequest(), false},
		{3, kmsg.NewPtrFindCoordinatorRequest(), true},
	} {
		name := fmt.Sprintf("%s v%d", kmsg.NameForKey(test.req.Key()), test.version)
		rest := c.want(c.send(test.version, test.req))
		resp := test.req.ResponseKind()
		resp.SetVersion(test.version)
		want := resp.AppendTo(nil)
		if test.headerTags {
			want = append([]byte{0}, want...)
		}
		if !bytes.Equal(rest, want) {
			t.Errorf("%s: got % x, want % x", name, rest, want)
		}
		if r := got[len(got)-1]; r.Version != test.version || r.Key != test.req.Key() || r.Body.GetVersion() != test.version {
			t.Errorf("%s: the handler got %+v", name, r)
		}
	}
}

func TestHeader_CONN_04_null_and_empty_client_ids(t *testing.T) {
	var got []*Request
	s := start(t, Limits{}, func(r *Request) { got = append(got, r); answerEmpty(r) })
	c := s.dial()
	empty, long := "", strings.Repeat("x", 32767)
	for i, id := range []*string{nil, &empty, &long, nil} {
		for _, version := range []int16{1, 12} {
			c.id = id
			c.want(c.send(version, metadata()))
			r := got[len(got)-1]
			if r.HasClientID != (id != nil) || id != nil && r.ClientID != *id || id == nil && r.ClientID != "" {
				t.Errorf("%d: got %v %q", i, r.HasClientID, r.ClientID)
			}
		}
	}
}

func TestFrame_CONN_05_impossible_sizes_close_the_connection(t *testing.T) {
	s := start(t, Limits{MaxRequestBytes: 1000}, func(r *Request) { t.Error("handled"); answerEmpty(r) })
	for name, b := range map[string][]byte{
		"minus one":  {0xff, 0xff, 0xff, 0xff},
		"smallest":   {0x80, 0, 0, 0},
		"over limit": {0, 0, 3, 0xe9},
		"zero":       {0, 0, 0, 0},
		"http":       []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"two bytes":  {0, 0, 0, 2, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.write(b)
			c.wantClosed()
		})
	}
}

func TestFrame_CONN_05_the_largest_frame_passes(t *testing.T) {
	c := start(t, Limits{MaxRequestBytes: 3 << 20}, nil).dial()
	req := kmsg.NewPtrProduceRequest()
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = make([]byte, 3<<20-60)
	req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{p}})
	c.want(c.send(7, req))
}

func TestGate_CONN_06_unknown_keys_and_versions_close_the_connection(t *testing.T) {
	s := start(t, Limits{}, func(r *Request) { t.Error("handled"); answerEmpty(r) })
	for _, at := range [][2]int16{{4, 0}, {93, 0}, {999, 0}, {-1, 0}, {32767, 0}, {0, 2}, {0, 14}, {1, 3}, {1, 19}, {3, -1}, {3, 14}} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			c := s.dial()
			b := []byte{0, 0, 0, 0}
			b = binary.BigEndian.AppendUint16(b, uint16(at[0]))
			b = binary.BigEndian.AppendUint16(b, uint16(at[1]))
			b = append(b, make([]byte, 70)...)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			c.write(b)
			c.wantClosed()
		})
	}
}

func TestGate_AV_01_ApiVersions_of_unknown_versions_reaches_the_handler(t *testing.T) {
	s := start(t, Limits{}, func(r *Request) {
		if r.UnsupportedVersion != (r.Version < 0 || r.Version > 4) || r.UnsupportedVersion != (r.Body == nil) {
			t.Errorf("version %d: unsupported %v, body %v", r.Version, r.UnsupportedVersion, r.Body)
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.ErrorCode = 35
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: 18, MaxVersion: 4})
		r.Reply(resp)
	})
	c := s.dial()
	for _, version := range []int16{5, 99, 32767, -1} {
		c.next++
		b := []byte{0, 0, 0, 0, 0, 18, byte(version >> 8), byte(version), 0, 0, 0, byte(c.next), 0xff, 0xff}
		if version >= 3 {
			b = append(b, 0) // header tags
		}
		b = append(b, "whatever the body is"...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		c.write(b)
		want := []byte{0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4}
		if rest := c.want(c.next); !bytes.Equal(rest, want) {
			t.Errorf("version %d: got % x, want % x", version, rest, want)
		}
	}
	c.want(c.send(3, apiVersions())) // the connection is still open
}

func TestBody_CONN_07_what_does_not_parse_closes_the_connection_unhandled(t *testing.T) {
	s := start(t, Limits{}, func(r *Request) {
		if r.Key != 18 {
			t.Error("handled")
		}
		answerEmpty(r)
	})
	for name, b := range map[string][]byte{
		"truncated topic name":    {0, 3, 0, 4, 0, 0, 0, 2, 0xff, 0xff, 0, 0, 0, 1, 0, 9, 't'},
		"no body":                 {0, 3, 0, 4, 0, 0, 0, 2, 0xff, 0xff},
		"client id too long":      {0, 3, 0, 4, 0, 0, 0, 2, 0, 9, 'a'},
		"null where none may be":  {0, 10, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff},
		"a million topics":        {0, 3, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0, 15, 66, 65},
		"tags that aren't there":  {0, 3, 0, 9, 0, 0, 0, 2, 0xff, 0xff, 0, 1, 0, 0, 0, 5},
		"header tags without end": {0, 3, 0, 9, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.send(2, apiVersions())
			c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
			c.want(c.next) // what came before is answered
			c.wantClosed()
		})
	}
}

func TestBody_CONN_07_bytes_behind_the_body_are_ignored(t *testing.T) {
	c := start(t, Limits{}, nil).dial()
	req := metadata()
	req.SetVersion(1)
	b := append(c.frame(req), "xyz"...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.write(b)
	c.want(c.next)
	c.want(c.send(1, metadata()))
}

func TestHeader_CONN_11_unknown_tags_are_skipped(t *testing.T) {
	var key string
	s := start(t, Limits{}, func(r *Request) {
		if q, ok := r.Body.(*kmsg.FindCoordinatorRequest); ok {
			key = q.CoordinatorKeys[0]
		}
		answerEmpty(r)
	})
	c := s.dial()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.SetVersion(4)
	req.CoordinatorKeys = []string{"group"}
	req.UnknownTags.Set(9000, []byte("of the future"))
	c.write(c.frame(req, 2, 77, 3, 'a', 'b', 'c', 0xf0, 0x01, 0))
	c.want(c.next)
	if key != "group" {
		t.Errorf("key %q", key)
	}
}

func TestBody_CONN_12_null_and_empty_are_told_apart(t *testing.T) {
	var topics []kmsg.MetadataRequestTopic
	s := start(t, Limits{}, func(r *Request) { topics = r.Body.(*kmsg.MetadataRequest).Topics; answerEmpty(r) })
	c := s.dial()
	for _, version := range []int16{1, 8, 9, 12} {
		req := metadata()
		c.want(c.send(version, req))
		if topics != nil {
			t.Errorf("v%d: null became %v", version, topics)
		}
		req.Topics = []kmsg.MetadataRequestTopic{}
		c.want(c.send(version, req))
		if topics == nil || len(topics) != 0 {
			t.Errorf("v%d: empty became %v", version, topics)
		}
	}
}

func TestReply_CONN_23_strings_too_long_for_their_version_close_the_connection(t *testing.T) {
	var log bytes.Buffer
	name := strings.Repeat("x", 32768)
	s := startConfig(t, Config{APIs: table(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Handle: func(r *Request) {
		resp := kmsg.NewPtrMetadataResponse()
		resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{Topic: &name})
		r.Reply(resp)
	}})
	c := s.dial()
	c.want(c.send(9, metadata())) // compact strings may be as long
	c.send(8, metadata())
	c.wantClosed()
	s.stop()
	<-s.done
	s.done <- nil
	if !strings.Contains(log.String(), "32768 bytes") {
		t.Errorf("the log says %q", log.String())
	}
}
