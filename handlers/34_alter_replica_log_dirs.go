package handlers

import (
	"slices"

	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs (key 34) moves replicas between the log directories of a broker. One that lies where it should is left alone.
func (h *Handlers) alterReplicaLogDirs(r *wire.Request) {
	req := r.Body.(*kmsg.AlterReplicaLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	dirs := h.LogDirs()
	rows := map[string]int{}
	for _, d := range req.Dirs {
		exists := slices.ContainsFunc(dirs, func(dir LogDir) bool { return dir.Path == d.Dir })
		for _, t := range d.Topics {
			at, ok := rows[t.Topic]
			if !ok {
				at = len(resp.Topics)
				rows[t.Topic] = at
				topic := kmsg.NewAlterReplicaLogDirsResponseTopic()
				topic.Topic = t.Topic
				resp.Topics = append(resp.Topics, topic)
			}
			for _, n := range t.Partitions {
				row := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				row.Partition = n
				if !exists {
					row.ErrorCode = kerr.LogDirNotFound.Code
				} else if p, err := h.Partitions.Partition(t.Topic, n); err != nil {
					row.ErrorCode = kerr.ReplicaNotAvailable.Code
				} else if !holds(d.Dir, p.Dir()) {
					row.ErrorCode = kerr.PolicyViolation.Code // replicas stay where they were made
				}
				partitions := resp.Topics[at].Partitions
				if i := slices.IndexFunc(partitions, func(p kmsg.AlterReplicaLogDirsResponseTopicPartition) bool { return p.Partition == n }); i >= 0 {
					partitions[i] = row // the last directory that is named counts
					continue
				}
				resp.Topics[at].Partitions = append(partitions, row)
			}
		}
	}
	r.Reply(resp)
}
