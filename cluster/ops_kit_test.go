package cluster

import (
	"errors"
	"slices"
	"testing"

	"github.com/kbroker/kbroker/config"
	"github.com/twmb/franz-go/pkg/kerr"
)

// adminImage is a cluster of that many brokers, with more records on top.
func adminImage(t testing.TB, brokers int, more ...Record) *Image {
	t.Helper()
	records := []Record{ClusterRecord{"adminadminadminadminaQ"}, FeatureRecord{FeatureEligibleLeaderReplicas, 1}}
	for id := range brokers {
		records = append(records, BrokerRecord{BrokerInfo{ID: int32(id + 1), Epoch: 1}})
	}
	img, _ := mustApply(t, &Image{}, append(records, more...)...)
	return img
}

// adminEnv draws ids one after the other.
func adminEnv() Env {
	n := 0
	return Env{NodeID: 1, NewUUID: func() TopicID { n++; return TopicID{0: 9, 3: byte(n), 15: byte(n)} }}
}

// decide has an operation decided and applied, and gives its result.
func decide[R any](t testing.TB, img *Image, op Operation) (R, *Image) {
	t.Helper()
	d, err := op.Decide(img, adminEnv())
	if err != nil {
		t.Fatalf("%T: %v", op, err)
	}
	next, _, err := img.Apply(img.Index+1, d.Records)
	if err != nil {
		t.Fatalf("%T made records that don't apply: %v", op, err)
	}
	return d.Result.(R), next
}

func staticOf(t testing.TB, settings ...string) *config.Static {
	t.Helper()
	var list []config.Setting
	for i := 0; i+1 < len(settings); i += 2 {
		list = append(list, config.Setting{Name: settings[i], Value: settings[i+1]})
	}
	s, err := config.NewStatic(list...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func str(s string) *string { return &s }

// wantRefusal compares a refusal with Kafka's error and, where text isn't empty, its words. A nil kafka wants none.
func wantRefusal(t testing.TB, got *Refusal, kafka *kerr.Error, text string) {
	t.Helper()
	switch {
	case kafka == nil && got != nil:
		t.Errorf("refused: %v", got)
	case kafka != nil && got == nil:
		t.Errorf("not refused, want %s", kafka.Message)
	case kafka != nil && !errors.Is(got, kafka):
		t.Errorf("refused with %v, want %s", got, kafka.Message)
	case kafka != nil && text != "" && got.Message != text:
		t.Errorf("refused with the words\n%s\nwant\n%s", got.Message, text)
	}
}

func sameIDs(a, b []int32) bool { return slices.Equal(a, b) }

// refusalOf gives the refusal that an error is, an empty one where it is none.
func refusalOf(err error) *Refusal {
	r := &Refusal{}
	if !errors.As(err, &r) {
		return &Refusal{}
	}
	return r
}
