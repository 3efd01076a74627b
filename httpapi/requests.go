package httpapi

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAPIKey is the largest API key that is counted under its own name.
const maxAPIKey = 127

// Error codes that are counted: -1 (unknown) and 0 to maxErrorCode; the others count as -1.
const maxErrorCode = 254

// durationBounds are the upper bounds of the latency histogram's buckets.
var durationBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// requestStats counts requests. Observing is a handful of atomic additions, without looking anything up; everything else is done when metrics are asked for.
type requestStats struct {
	apis [maxAPIKey + 1]atomic.Pointer[apiStats]

	requests, duration, bytesIn, bytesOut *prometheus.Desc
}

// apiStats counts the requests of one API.
type apiStats struct {
	results  [maxErrorCode + 2]atomic.Uint64 // by error code + 1
	buckets  [len(durationBounds) + 1]atomic.Uint64
	nanos    atomic.Int64
	bytesIn  atomic.Int64
	bytesOut atomic.Int64
}

func newRequestStats() *requestStats {
	return &requestStats{
		requests: prometheus.NewDesc("kbroker_requests_total", "Requests that were answered, by API and result.", []string{"api", "result"}, nil),
		duration: prometheus.NewDesc("kbroker_request_duration_seconds", "Time from a request's last byte to its answer being ready, by API.", []string{"api"}, nil),
		bytesIn:  prometheus.NewDesc("kbroker_request_bytes_total", "Bytes of requests, by API.", []string{"api"}, nil),
		bytesOut: prometheus.NewDesc("kbroker_response_bytes_total", "Bytes of answers, by API.", []string{"api"}, nil),
	}
}

// observe counts one request. It may be called from any goroutine.
func (s *requestStats) observe(key, result int16, took time.Duration, in, out int64) {
	if key < 0 || key > maxAPIKey {
		return
	}
	a := s.apis[key].Load()
	if a == nil {
		s.apis[key].CompareAndSwap(nil, &apiStats{})
		a = s.apis[key].Load()
	}
	if result < -1 || result > maxErrorCode {
		result = -1
	}
	a.results[result+1].Add(1)
	i := 0
	for i < len(durationBounds) && took > durationBounds[i] {
		i++
	}
	a.buckets[i].Add(1)
	a.nanos.Add(int64(took))
	a.bytesIn.Add(in)
	a.bytesOut.Add(out)
}

func (s *requestStats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.requests, s.duration, s.bytesIn, s.bytesOut} {
		ch <- d
	}
}

func (s *requestStats) Collect(ch chan<- prometheus.Metric) {
	for key := range s.apis {
		a := s.apis[key].Load()
		if a == nil {
			continue
		}
		api := kmsg.NameForKey(int16(key))
		if api == "" || api == "Unknown" {
			api = strconv.Itoa(key)
		}
		for i := range a.results {
			if n := a.results[i].Load(); n > 0 {
				ch <- prometheus.MustNewConstMetric(s.requests, prometheus.CounterValue, float64(n), api, resultName(int16(i-1)))
			}
		}
		buckets, count := make(map[float64]uint64, len(durationBounds)), uint64(0)
		for i, bound := range durationBounds {
			count += a.buckets[i].Load()
			buckets[bound.Seconds()] = count
		}
		count += a.buckets[len(durationBounds)].Load()
		ch <- prometheus.MustNewConstHistogram(s.duration, count, time.Duration(a.nanos.Load()).Seconds(), buckets, api)
		ch <- prometheus.MustNewConstMetric(s.bytesIn, prometheus.CounterValue, float64(a.bytesIn.Load()), api)
		ch <- prometheus.MustNewConstMetric(s.bytesOut, prometheus.CounterValue, float64(a.bytesOut.Load()), api)
	}
}

// resultName gives Kafka's name of an error code.
func resultName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
		return e.Message
	}
	return "ERROR_" + strconv.Itoa(int(code))
}
