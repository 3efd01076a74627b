package broker_test

import (
	"context"
	"testing"

	"github.com/kbroker/kbroker/kbrokertest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestBroker_OFFS_18_META_34_offsets_go_with_their_topic(t *testing.T) {
	b := kbrokertest.Start(t, kbrokertest.Topic("gone", 1), kbrokertest.Topic("kept", 1))
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, admin := context.Background(), kadm.NewClient(cl)
	var offsets kadm.Offsets
	offsets.AddOffset("gone", 0, 3, -1)
	offsets.AddOffset("kept", 0, 4, -1)
	if err := admin.CommitAllOffsets(ctx, "g", offsets); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	left, err := admin.FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if _, there := left.Lookup("gone", 0); there {
		t.Errorf("the deleted topic has an offset: %v", left)
	}
	if o, there := left.Lookup("kept", 0); !there || o.At != 4 {
		t.Errorf("the other topic has none: %v", left)
	}
}
