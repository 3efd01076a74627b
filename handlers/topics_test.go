package handlers

import (
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func createRequest(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 5000
	req.Topics = topics
	return req
}

func TestCreateTopics_META_31_CFGAPI_03_answers_by_version(t *testing.T) {
	b := startAdmin(t)
	for v := int16(2); v <= 7; v++ {
		name := "t" + nodeName(int32(v))
		row := ask[*kmsg.CreateTopicsResponse](b, v, createRequest(newTopicRow(name, 2, "retention.ms", "1234567"))).Topics[0]
		wantCode(t, name, row.ErrorCode, 0)
		if row.ErrorMessage != nil {
			t.Errorf("v%d: message %q", v, *row.ErrorMessage)
		}
		made := b.node.Image().Topic(name)
		if got := row.TopicID == [16]byte(made.ID); got != (v >= 7) {
			t.Errorf("v%d: id is there: %v", v, got)
		}
		if _, err := b.node.Partition(name, 1); err != nil {
			t.Errorf("v%d: a produce would fail: %v", v, err)
		}
		if v < 5 {
			continue
		}
		sources := map[string]int8{}
		for _, c := range row.Configs {
			sources[c.Name] = c.Source
			if c.Value == nil {
				t.Errorf("v%d: %s is null", v, c.Name)
			}
		}
		if row.NumPartitions != 2 || row.ReplicationFactor != 1 || len(sources) != 37 || sources["retention.ms"] != 1 || sources["segment.ms"] != 5 || sources["min.insync.replicas"] != 3 {
			t.Errorf("v%d: %d partitions, %d replicas, settings from %v", v, row.NumPartitions, row.ReplicationFactor, sources)
		}
	}
}

func TestCreateTopics_META_31_refused_rows_have_an_empty_list_of_settings(t *testing.T) {
	b := startAdmin(t)
	for v := int16(5); v <= 7; v++ {
		for _, validate := range []bool{false, true} {
			req := createRequest(newTopicRow("bad name", 1), newTopicRow("t", 1))
			req.ValidateOnly = validate
			rows := ask[*kmsg.CreateTopicsResponse](b, v, req).Topics
			if rows[0].Configs == nil || rows[0].NumPartitions != -1 || rows[0].ReplicationFactor != -1 || rows[0].ErrorCode != kerr.InvalidTopicException.Code {
				t.Errorf("v%d: %+v", v, rows[0])
			}
			if rows[1].ErrorCode == 0 && len(rows[1].Configs) == 0 { // META-30: with validateOnly too
				t.Errorf("v%d, validate %v: no settings", v, validate)
			}
		}
	}
}

func TestAdmin_META_38_no_time_is_a_timeout_and_changes_nothing(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	const timedOut = 7
	create := createRequest(newTopicRow("u", 1))
	create.TimeoutMillis = 0
	row := ask[*kmsg.CreateTopicsResponse](b, 7, create).Topics[0]
	wantCode(t, "create", row.ErrorCode, timedOut)
	if row.Configs == nil {
		t.Error("settings are null")
	}

	del := kmsg.NewPtrDeleteTopicsRequest()
	ref := kmsg.NewDeleteTopicsRequestTopic()
	ref.Topic = text("t")
	del.Topics, del.TopicNames, del.TimeoutMillis = append(del.Topics, ref), []string{"t"}, 0
	for _, v := range []int16{1, 6} {
		wantCode(t, "delete", ask[*kmsg.DeleteTopicsResponse](b, v, del).Topics[0].ErrorCode, timedOut)
	}

	grow := kmsg.NewPtrCreatePartitionsRequest()
	more := kmsg.NewCreatePartitionsRequestTopic()
	more.Topic, more.Count = "t", 5
	grow.Topics, grow.TimeoutMillis = append(grow.Topics, more), 0
	wantCode(t, "grow", ask[*kmsg.CreatePartitionsResponse](b, 3, grow).Topics[0].ErrorCode, timedOut)

	elect := kmsg.NewPtrElectLeadersRequest()
	of := kmsg.NewElectLeadersRequestTopic()
	of.Topic, of.Partitions = "t", []int32{0}
	elect.Topics, elect.TimeoutMillis = append(elect.Topics, of), 0
	elected := ask[*kmsg.ElectLeadersResponse](b, 2, elect)
	wantCode(t, "elect", elected.ErrorCode, timedOut)
	wantCode(t, "elect, row", elected.Topics[0].Partitions[0].ErrorCode, timedOut)

	reassign := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	at := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	at.Topic, at.Partitions = "t", append(at.Partitions, kmsg.NewAlterPartitionAssignmentsRequestTopicPartition())
	reassign.Topics, reassign.TimeoutMillis = append(reassign.Topics, at), 0
	moved := ask[*kmsg.AlterPartitionAssignmentsResponse](b, 1, reassign)
	wantCode(t, "reassign", moved.ErrorCode, timedOut)
	wantCode(t, "reassign, row", moved.Topics[0].Partitions[0].ErrorCode, timedOut)

	if img := b.node.Image(); img.Topic("u") != nil || img.Topic("t") == nil || img.NumPartitions() != 1 {
		t.Error("something changed")
	}
}

func TestDeleteTopics_META_33_34(t *testing.T) {
	b := startAdmin(t)
	for v := int16(1); v <= 6; v++ {
		b.create(1, "t")
		id := b.node.Image().Topic("t").ID
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 5000
		req.TopicNames = []string{"t"}
		ref := kmsg.NewDeleteTopicsRequestTopic()
		ref.Topic = text("t")
		req.Topics = append(req.Topics, ref)
		row := ask[*kmsg.DeleteTopicsResponse](b, v, req).Topics[0]
		if row.ErrorCode != 0 || *row.Topic != "t" || (row.TopicID == [16]byte(id)) != (v >= 6) || row.ErrorMessage != nil {
			t.Errorf("v%d: %+v", v, row)
		}
		if _, err := b.node.Partition("t", 0); err == nil {
			t.Errorf("v%d: the partition is still served", v)
		}
		again := ask[*kmsg.DeleteTopicsResponse](b, v, req).Topics[0]
		wantCode(t, "again", again.ErrorCode, kerr.UnknownTopicOrPartition.Code)
		if v >= 5 {
			wantText(t, "again", again.ErrorMessage, "This server does not host this topic-partition.")
		}
	}
}

func TestDeleteTopics_META_33_can_be_forbidden(t *testing.T) {
	b := startAdmin(t, "delete.topic.enable", "false")
	b.create(1, "t")
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 5000, []string{"t"}
	for v, code := range map[int16]int16{1: kerr.InvalidRequest.Code, 2: kerr.InvalidRequest.Code, 3: kerr.TopicDeletionDisabled.Code, 5: kerr.TopicDeletionDisabled.Code} {
		wantCode(t, "delete", ask[*kmsg.DeleteTopicsResponse](b, v, req).Topics[0].ErrorCode, code)
	}
	if b.node.Image().Topic("t") == nil {
		t.Error("it is gone")
	}
}

func TestCreatePartitions_META_35_new_partitions_are_served(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	for v := int16(0); v <= 3; v++ {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 5000
		for name, count := range map[string]int32{"t": int32(v) + 2, "missing": 4} {
			row := kmsg.NewCreatePartitionsRequestTopic()
			row.Topic, row.Count = name, count
			req.Topics = append(req.Topics, row)
		}
		for _, row := range ask[*kmsg.CreatePartitionsResponse](b, v, req).Topics {
			want := int16(0)
			if row.Topic == "missing" {
				want = kerr.UnknownTopicOrPartition.Code
			}
			if row.ErrorCode != want || row.ErrorMessage != nil {
				t.Errorf("v%d: %+v", v, row)
			}
		}
		if _, err := b.node.Partition("t", int32(v)+1); err != nil {
			t.Errorf("v%d: %v", v, err)
		}
	}
}

// fill appends batches of one record each.
func (b *adminBroker) fill(topic string, records int) {
	b.t.Helper()
	p, err := b.node.Partition(topic, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for range records {
		r := batch.NewBuilder()
		r.Append(1, []byte("k"), []byte("v"))
		if _, err := p.Append(cluster.AppendRequest{Records: r.Build(), Acks: -1, Origin: storage.OriginClient, AllowZstd: true}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func deleteRecordsRequest(topic string, partition int32, before int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	row := kmsg.NewDeleteRecordsRequestTopic()
	row.Topic = topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, before
	row.Partitions = append(row.Partitions, p)
	req.Topics = append(req.Topics, row)
	return req
}

func TestDeleteRecords_DREC_01_02_03(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	b.create(1, cluster.ConsumerOffsetsTopic)
	for name, policy := range map[string]string{"compacted": "compact", "both": "compact,delete", "kept": ""} {
		wantCode(t, name, ask[*kmsg.CreateTopicsResponse](b, 7, createRequest(newTopicRow(name, 1, "cleanup.policy", policy))).Topics[0].ErrorCode, 0)
	}
	b.fill("t", 4)
	for _, c := range []struct {
		what   string
		topic  string
		p      int32
		before int64
		code   int16
		low    int64
	}{
		{"before 2", "t", 0, 2, 0, 2},
		{"below the log start", "t", 0, 1, 0, 2},
		{"at the log start", "t", 0, 2, 0, 2},
		{"above the high watermark", "t", 0, 9, kerr.OffsetOutOfRange.Code, -1},
		{"-2", "t", 0, -2, kerr.OffsetOutOfRange.Code, -1},
		{"everything", "t", 0, -1, 0, 4},
		{"unknown partition", "t", 4, 0, kerr.UnknownTopicOrPartition.Code, -1},
		{"unknown topic", "missing", 0, 0, kerr.UnknownTopicOrPartition.Code, -1},
		{"internal", cluster.ConsumerOffsetsTopic, 0, 0, kerr.InvalidTopicException.Code, -1},
		{"compacted", "compacted", 0, -1, kerr.PolicyViolation.Code, -1},
		{"compacted and deleted", "both", 0, -1, 0, 0},
		{"no policy", "kept", 0, -1, 0, 0},
	} {
		for v := int16(0); v <= 2; v++ {
			if v > 0 && c.what == "before 2" {
				continue
			}
			row := ask[*kmsg.DeleteRecordsResponse](b, v, deleteRecordsRequest(c.topic, c.p, c.before)).Topics[0].Partitions[0]
			wantCode(t, c.what, row.ErrorCode, c.code)
			if row.LowWatermark != c.low {
				t.Errorf("%s: low watermark %d, want %d", c.what, row.LowWatermark, c.low)
			}
		}
	}
}

func TestDescribeLogDirs_ADM_01_02(t *testing.T) {
	b := startAdmin(t)
	b.create(2, "t")
	b.create(1, "u")
	b.fill("t", 1)
	for v := int16(1); v <= 5; v++ {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		row := kmsg.NewDescribeLogDirsRequestTopic()
		row.Topic, row.Partitions = "t", []int32{0, 1, 1, 9}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{row}
		resp := ask[*kmsg.DescribeLogDirsResponse](b, v, req)
		d := resp.Dirs[0]
		if resp.ErrorCode != 0 || len(resp.Dirs) != 1 || d.Dir != "/data" || len(d.Topics) != 1 || len(d.Topics[0].Partitions) != 2 || d.Topics[0].Partitions[0].Size == 0 || d.Topics[0].Partitions[1].Size != 0 {
			t.Errorf("v%d: %+v", v, resp)
		}
		if v >= 4 && (d.TotalBytes != 1000 || d.UsableBytes != 500) || d.IsCordoned {
			t.Errorf("v%d: %+v", v, d)
		}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		if none := ask[*kmsg.DescribeLogDirsResponse](b, v, req); len(none.Dirs) != 1 || len(none.Dirs[0].Topics) != 0 {
			t.Errorf("v%d: %+v", v, none)
		}
		req.Topics = nil
		if all := ask[*kmsg.DescribeLogDirsResponse](b, v, req); len(all.Dirs[0].Topics) != 2 {
			t.Errorf("v%d: %+v", v, all)
		}
	}
}

func TestElectLeaders_REPL_17(t *testing.T) {
	b := startAdmin(t)
	b.create(2, "t")
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 5000
		all := ask[*kmsg.ElectLeadersResponse](b, v, req)
		if all.ErrorCode != 0 || len(all.Topics) != 1 || len(all.Topics[0].Partitions) != 0 {
			t.Errorf("v%d: %+v", v, all)
		}
		row := kmsg.NewElectLeadersRequestTopic()
		row.Topic, row.Partitions = "t", []int32{0, 4}
		req.Topics = append(req.Topics, row)
		some := ask[*kmsg.ElectLeadersResponse](b, v, req).Topics[0].Partitions
		wantCode(t, "the leader is right", some[0].ErrorCode, kerr.ElectionNotNeeded.Code)
		wantCode(t, "no such partition", some[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		if v == 0 {
			continue
		}
		req.ElectionType = 7
		unknown := ask[*kmsg.ElectLeadersResponse](b, v, req)
		wantCode(t, "unknown type", unknown.ErrorCode, kerr.InvalidRequest.Code)
		wantCode(t, "unknown type, row", unknown.Topics[0].Partitions[1].ErrorCode, kerr.InvalidRequest.Code)
		wantText(t, "unknown type", unknown.Topics[0].Partitions[1].ErrorMessage, "Unknown election type 7")
	}
}

func TestReassignments_ADM_04_REPL_17(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	list := kmsg.NewPtrListPartitionReassignmentsRequest()
	if resp := ask[*kmsg.ListPartitionReassignmentsResponse](b, 0, list); resp.ErrorCode != 0 || len(resp.Topics) != 0 || resp.ErrorMessage != nil {
		t.Errorf("%+v", resp)
	}
	for v := int16(0); v <= 1; v++ {
		for _, c := range []struct {
			replicas []int32
			code     int16
		}{{nil, kerr.NoReassignmentInProgress.Code}, {[]int32{1}, 0}, {[]int32{4711}, kerr.InvalidReplicaAssignment.Code}} {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			req.TimeoutMillis = 5000
			row := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			p.Replicas = c.replicas
			row.Topic, row.Partitions = "t", append(row.Partitions, p)
			req.Topics = append(req.Topics, row)
			resp := ask[*kmsg.AlterPartitionAssignmentsResponse](b, v, req)
			wantCode(t, "reassign", resp.Topics[0].Partitions[0].ErrorCode, c.code)
			if resp.ErrorCode != 0 || v >= 1 && !resp.AllowReplicationFactorChange {
				t.Errorf("v%d: %+v", v, resp)
			}
		}
	}
}

func TestAdmin_ADM_05_06_07_08_SASL_13_the_rest(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	b.fill("t", 1)

	quorum := kmsg.NewPtrDescribeQuorumRequest()
	for _, name := range []string{cluster.ClusterMetadataTopic, "t"} {
		row := kmsg.NewDescribeQuorumRequestTopic()
		row.Topic, row.Partitions = name, append(row.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
		quorum.Topics = append(quorum.Topics, row)
	}
	q := ask[*kmsg.DescribeQuorumResponse](b, 2, quorum)
	if p := q.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LeaderID != 1 || len(p.CurrentVoters) != 1 || p.HighWatermark < 1 || len(q.Nodes) != 1 {
		t.Errorf("%+v", q)
	}
	wantCode(t, "quorum of a topic", q.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)

	features := kmsg.NewPtrUpdateFeaturesRequest()
	update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	update.Feature, update.MaxVersionLevel, update.UpgradeType = "no.such.feature", 1, 1
	features.FeatureUpdates = append(features.FeatureUpdates, update)
	wantCode(t, "features", ask[*kmsg.UpdateFeaturesResponse](b, 2, features).ErrorCode, kerr.InvalidUpdateVersion.Code)

	unregister := kmsg.NewPtrUnregisterBrokerRequest()
	unregister.BrokerID = 4711
	u := ask[*kmsg.UnregisterBrokerResponse](b, 0, unregister)
	wantCode(t, "unregister", u.ErrorCode, kerr.BrokerIDNotRegistered.Code)
	wantText(t, "unregister", u.ErrorMessage, "Broker ID 4711 is not currently registered")

	producers := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"t", "missing", "a b"} {
		row := kmsg.NewDescribeProducersRequestTopic()
		row.Topic, row.Partitions = name, []int32{0, 9}
		producers.Topics = append(producers.Topics, row)
	}
	rows := ask[*kmsg.DescribeProducersResponse](b, 0, producers).Topics
	for i, codes := range [][]int16{{0, 3}, {3, 3}, {17, 17}} {
		for n, code := range codes {
			wantCode(t, "producers of "+rows[i].Topic, rows[i].Partitions[n].ErrorCode, code)
		}
	}

	for v := int16(0); v <= 1; v++ {
		wantCode(t, "handshake", ask[*kmsg.SASLHandshakeResponse](b, v, kmsg.NewPtrSASLHandshakeRequest()).ErrorCode, kerr.IllegalSaslState.Code)
	}
	wantCode(t, "authenticate", ask[*kmsg.SASLAuthenticateResponse](b, 2, kmsg.NewPtrSASLAuthenticateRequest()).ErrorCode, kerr.IllegalSaslState.Code)

	create, del, describe := kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest(), kmsg.NewPtrDescribeACLsRequest()
	acl, filter := kmsg.NewCreateACLsRequestCreation(), kmsg.NewDeleteACLsRequestFilter()
	acl.ResourceType, acl.ResourcePatternType, acl.Operation, acl.PermissionType = 2, 3, 3, 3
	filter.ResourceType, filter.ResourcePatternType, filter.Operation, filter.PermissionType = 1, 1, 1, 1
	describe.ResourceType, describe.ResourcePatternType, describe.Operation, describe.PermissionType = 1, 1, 1, 1
	create.Creations, del.Filters = append(create.Creations, acl), append(del.Filters, filter)
	wantCode(t, "describe ACLs", ask[*kmsg.DescribeACLsResponse](b, 3, describe).ErrorCode, kerr.SecurityDisabled.Code)
	wantCode(t, "create ACLs", ask[*kmsg.CreateACLsResponse](b, 3, create).Results[0].ErrorCode, kerr.SecurityDisabled.Code)
	wantCode(t, "delete ACLs", ask[*kmsg.DeleteACLsResponse](b, 3, del).Results[0].ErrorCode, kerr.SecurityDisabled.Code)

	move := kmsg.NewPtrAlterReplicaLogDirsRequest()
	for _, dir := range []string{"/no/such/directory", "/data"} { // what is named twice goes where it is named last
		d := kmsg.NewAlterReplicaLogDirsRequestDir()
		row := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		d.Dir, row.Topic, row.Partitions = dir, "t", []int32{0}
		d.Topics = append(d.Topics, row)
		move.Dirs = append(move.Dirs, d)
	}
	moved := ask[*kmsg.AlterReplicaLogDirsResponse](b, 2, move).Topics[0].Partitions
	if len(moved) != 1 {
		t.Fatalf("%d rows", len(moved))
	}
	wantCode(t, "where it is", moved[0].ErrorCode, 0)
	move.Dirs = move.Dirs[:1]
	wantCode(t, "no such directory", ask[*kmsg.AlterReplicaLogDirsResponse](b, 2, move).Topics[0].Partitions[0].ErrorCode, kerr.LogDirNotFound.Code)
}
