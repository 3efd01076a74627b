package groupcoord

import "github.com/kbroker/kbroker/cluster"

// ImageTopics looks topics up in the newest metadata image.
func ImageTopics(image func() *cluster.Image) Topics { return imageTopics{image} }

type imageTopics struct{ image func() *cluster.Image }

func (t imageTopics) TopicByName(name string) (id [16]byte, partitions int32, ok bool) {
	topic := t.image().Topic(name)
	if topic == nil {
		return id, 0, false
	}
	return topic.ID, int32(len(topic.Partitions)), true
}

func (t imageTopics) TopicByID(id [16]byte) (string, bool) {
	topic := t.image().TopicByID(id)
	if topic == nil {
		return "", false
	}
	return topic.Name, true
}
