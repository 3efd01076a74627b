package handlers

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs (key 35) lists this broker's log directories and the sizes of the partitions in them. Null topics are all of them;
// partitions that aren't here are left out.
//
//	v3  an error for the whole   v4  the directory's capacity   v5  whether it is cordoned (KIP-1066): never here
func (h *Handlers) describeLogDirs(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	img := h.Metadata.Image()
	dirs := h.LogDirs()
	found := make([]map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition, len(dirs))
	add := func(topic string, n int32) {
		p, err := h.Partitions.Partition(topic, n)
		if err != nil {
			return
		}
		at := slices.IndexFunc(dirs, func(d LogDir) bool { return holds(d.Path, p.Dir()) })
		if at < 0 {
			return
		}
		row := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		row.Partition, row.Size = n, p.Size()
		if found[at] == nil {
			found[at] = map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition{}
		}
		found[at][topic] = append(found[at][topic], row)
	}
	if req.Topics == nil {
		for _, name := range img.TopicNames() {
			for n := range img.Topic(name).Partitions {
				add(name, int32(n))
			}
		}
	}
	for topic, partitions := range requestedPartitions(img, req.Topics) {
		for _, n := range partitions {
			add(topic, n)
		}
	}
	for i, dir := range dirs {
		row := kmsg.NewDescribeLogDirsResponseDir()
		row.Dir, row.TotalBytes, row.UsableBytes = dir.Path, dir.TotalBytes, dir.FreeBytes
		if dir.Err != nil {
			row.ErrorCode = h.code(dir.Err)
		}
		for _, topic := range slices.Sorted(maps.Keys(found[i])) {
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic, t.Partitions = topic, found[i][topic]
			row.Topics = append(row.Topics, t)
		}
		resp.Dirs = append(resp.Dirs, row)
	}
	r.Reply(resp)
}

// requestedPartitions gathers the partitions that there are, each once.
func requestedPartitions(img *cluster.Image, topics []kmsg.DescribeLogDirsRequestTopic) map[string][]int32 {
	wanted := make(map[string][]int32, len(topics))
	for _, t := range topics {
		if img.Topic(t.Topic) == nil {
			continue
		}
		for _, n := range t.Partitions {
			if img.Partition(t.Topic, n) != nil {
				wanted[t.Topic] = append(wanted[t.Topic], n)
			}
		}
	}
	for topic, partitions := range wanted {
		slices.Sort(partitions)
		wanted[topic] = slices.Compact(partitions)
	}
	return wanted
}

// holds says whether a partition's folder lies in a log directory.
func holds(dir, folder string) bool {
	folder = filepath.Clean(folder)
	return filepath.Clean(dir) == filepath.Dir(folder) || filepath.Clean(dir) == folder
}
