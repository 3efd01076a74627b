package handlers

import (
	"context"
	"errors"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ensureInternalTopic gives one of the coordinators' topics, made if there is none yet. When it returns, the topic's partitions
// that this broker hosts are open.
func (h *Handlers) ensureInternalTopic(ctx context.Context, name string) (*cluster.TopicInfo, error) {
	if t := h.Metadata.Image().Topic(name); t != nil {
		return t, nil
	}
	h.internal.Lock()
	defer h.internal.Unlock()
	img := h.Metadata.Image()
	if t := img.Topic(name); t != nil {
		return t, nil
	}
	result, err := h.Metadata.Do(ctx, cluster.CreateTopics{Topics: []cluster.NewTopic{h.newTopic(name, img)}, Static: h.Static})
	if err != nil {
		return nil, err
	}
	created := result.([]cluster.CreatedTopic)[0]
	h.logCreated(created, "for a coordinator")
	if r := created.Refusal; r != nil && !errors.Is(r, kerr.TopicAlreadyExists) {
		return nil, r
	}
	t := h.Metadata.Image().Topic(name)
	if t == nil {
		return nil, kerr.UnknownTopicOrPartition // deleted again meanwhile
	}
	return t, nil
}

// SeedTopic makes a topic unless it is there already. partitions is -1 where num.partitions decides.
func (h *Handlers) SeedTopic(ctx context.Context, name string, partitions int32) error {
	img := h.Metadata.Image()
	if img.Topic(name) != nil {
		return nil
	}
	t := h.newTopic(name, img)
	if partitions > 0 {
		t.Partitions = partitions
	}
	result, err := h.Metadata.Do(ctx, cluster.CreateTopics{Topics: []cluster.NewTopic{t}, Static: h.Static})
	if err != nil {
		return err
	}
	created := result.([]cluster.CreatedTopic)[0]
	if created.Refusal != nil {
		return created.Refusal
	}
	h.logCreated(created, "at the start")
	return nil
}
