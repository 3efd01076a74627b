package handlers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func apiVersionsOf(name, version string) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
	return req
}

// ranges are the versions that an answer lists, by key.
func ranges(resp *kmsg.ApiVersionsResponse) map[int16][2]int16 {
	out := map[int16][2]int16{}
	for _, k := range resp.ApiKeys {
		out[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return out
}

func TestApiVersions_AV_02_AV_03_AV_15_every_version_lists_the_table(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		want := map[int16][2]int16{}
		for _, a := range APIs() {
			if !a.Unadvertised {
				want[int16(a.Key)] = [2]int16{a.AdvertisedMin, a.Max}
			}
		}
		for v := int16(0); v <= 5; v++ {
			resp := do[*kmsg.ApiVersionsResponse](b.client, v, apiVersionsOf("test", "1.0"))
			got := ranges(resp)
			if resp.ErrorCode != 0 || resp.ThrottleMillis != 0 || len(resp.ApiKeys) != len(got) || fmt.Sprint(got) != fmt.Sprint(want) {
				b.t.Errorf("v%d: error %d, %d rows: %v\nwant %v", v, resp.ErrorCode, len(resp.ApiKeys), got, want)
			}
			for _, hidden := range []int16{4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82} {
				if _, ok := got[hidden]; ok {
					b.t.Errorf("v%d lists key %d, which is no broker listener's", v, hidden)
				}
			}
			if got[0][0] != 0 || got[11][0] != 0 {
				b.t.Errorf("v%d: Produce from %d, JoinGroup from %d; want 0 and 0", v, got[0][0], got[11][0])
			}
		}
	})
}

func TestApiVersions_AV_05_ranges_are_those_of_the_newest_kafka(t *testing.T) {
	newest, oldest := kversion.V4_4_0(), kversion.V4_0_0()
	for _, a := range APIs() {
		if most, ok := newest.LookupMaxKeyVersion(int16(a.Key)); !ok && !a.Unadvertised || ok && most != a.Max {
			t.Errorf("%s is served up to v%d, Kafka 4.4 up to v%d (has it: %v)", a.Key.Name(), a.Max, most, ok)
		}
		// A client with fixed versions picks any of the range of the releases that it knows: there must be no gap, and nothing newer as the lowest.
		if most, ok := oldest.LookupMaxKeyVersion(int16(a.Key)); ok && a.Min > most {
			t.Errorf("%s is served from v%d on, Kafka 4.0 ended at v%d", a.Key.Name(), a.Min, most)
		}
	}
}

func TestApiVersions_AV_01_an_unknown_version_is_told_what_is_known(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		for _, v := range []int16{6, 99, 32767} {
			req := apiVersionsOf("test", "1.0")
			req.SetVersion(v)
			if _, err := b.client.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 77)); err != nil {
				b.t.Fatal(err)
			}
			resp := kmsg.NewPtrApiVersionsResponse()
			if err := resp.ReadFrom(b.client.frame()[4:]); err != nil {
				b.t.Fatal(err)
			}
			if got := ranges(resp); resp.ErrorCode != kerr.UnsupportedVersion.Code || len(got) != 1 || got[18] != [2]int16{0, 5} {
				b.t.Errorf("v%d: error %d, %v", v, resp.ErrorCode, got)
			}
		}
		wantCode(b.t, "then a known one", do[*kmsg.ApiVersionsResponse](b.client, 3, apiVersionsOf("test", "1.0")).ErrorCode, 0)
	})
}

func TestApiVersions_AV_07_names_of_software(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		bad := kerr.InvalidRequest.Code
		for name, code := range map[string]int16{
			"a": 0, "7": 0, "apache-kafka-java": 0, "1.2.3-SNAPSHOT": 0, "a..b--c": 0, strings.Repeat("a", 200): 0,
			"": bad, "-": bad, "a-": bad, "-a": bad, ".a": bad, "a.": bad, "a b": bad, "a_b": bad, "ä": bad, "a\x00b": bad, "a\n": bad,
		} {
			for v := int16(0); v <= 5; v++ {
				want := code
				if v < 3 {
					want = 0 // not there yet
				}
				for _, req := range []*kmsg.ApiVersionsRequest{apiVersionsOf(name, "1"), apiVersionsOf("x", name)} {
					resp := do[*kmsg.ApiVersionsResponse](b.client, v, req)
					wantCode(b.t, fmt.Sprintf("v%d %q", v, name), resp.ErrorCode, want)
					if (len(resp.ApiKeys) == 0) != (want != 0) {
						b.t.Errorf("v%d %q: %d keys", v, name, len(resp.ApiKeys))
					}
				}
			}
		}
	})
}

func TestApiVersions_AV_08_AV_09_AV_10_AV_18_features(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		for v := int16(3); v <= 5; v++ {
			resp := do[*kmsg.ApiVersionsResponse](b.client, v, apiVersionsOf("test", "1"))
			supported, finalized := map[string][2]int16{}, map[string][2]int16{}
			for _, f := range resp.SupportedFeatures {
				supported[f.Name] = [2]int16{f.MinVersion, f.MaxVersion}
			}
			for _, f := range resp.FinalizedFeatures {
				finalized[f.Name] = [2]int16{f.MinVersionLevel, f.MaxVersionLevel}
			}
			if resp.FinalizedFeaturesEpoch != int64(b.node.Image().Index) || resp.FinalizedFeaturesEpoch <= 0 || resp.ZkMigrationReady {
				b.t.Errorf("v%d: epoch %d, migration %v", v, resp.FinalizedFeaturesEpoch, resp.ZkMigrationReady)
			}
			for _, f := range cluster.SupportedFeatures() {
				got, listed := supported[f.Name]
				if want := f.Min > 0 || v >= 4; listed != want || listed && got != [2]int16{f.Min, f.Max} {
					b.t.Errorf("v%d: %s is %v, listed %v", v, f.Name, got, listed)
				}
				level := b.node.Image().Features()[f.Name]
				if got, listed := finalized[f.Name]; listed != (level > 0) || listed && got != [2]int16{level, level} {
					b.t.Errorf("v%d: %s is finalized at %v, listed %v; its level is %d", v, f.Name, got, listed, level)
				}
			}
			if supported["metadata.version"] != [2]int16{7, 33} {
				b.t.Errorf("v%d: %v", v, supported)
			}
		}
		// A feature that is taken back is no longer listed as finalized.
		b.change(func(*cluster.Image) []cluster.Record {
			return []cluster.Record{cluster.FeatureRecord{Name: cluster.FeatureEligibleLeaderReplicas, Level: 0}}
		})
		for _, f := range do[*kmsg.ApiVersionsResponse](b.client, 4, apiVersionsOf("test", "1")).FinalizedFeatures {
			if f.Name == cluster.FeatureEligibleLeaderReplicas {
				b.t.Errorf("%+v", f)
			}
		}
	})
}

func TestApiVersions_AV_16_who_the_client_thinks_it_talks_to(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		ours, other := b.node.Image().ClusterID, "another-cluster-entirely"
		for _, c := range []struct {
			name    string
			cluster *string
			node    int32
			code    int16
		}{
			{"nobody in particular", nil, -1, 0},
			{"us", &ours, 1, 0},
			{"another cluster", &other, 1, kerr.RebootstrapRequired.Code},
			{"another node", &ours, 2, kerr.RebootstrapRequired.Code},
			{"a cluster without a node", &ours, -1, kerr.InvalidRequest.Code},
			{"a node without a cluster", nil, 1, kerr.InvalidRequest.Code},
		} {
			req := apiVersionsOf("test", "1")
			req.ClusterID, req.NodeID = c.cluster, c.node
			resp := do[*kmsg.ApiVersionsResponse](b.client, 5, req)
			wantCode(b.t, c.name, resp.ErrorCode, c.code)
			wantCode(b.t, c.name+", v4", do[*kmsg.ApiVersionsResponse](b.client, 4, req).ErrorCode, 0)
		}
	})
}

func TestApiVersions_AV_06_may_come_first_and_again(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		c := b.dial()
		for range 3 {
			wantCode(b.t, "again", do[*kmsg.ApiVersionsResponse](c, 3, apiVersionsOf("test", "1")).ErrorCode, 0)
		}
	})
}

// Every version of every API is decoded, handled, and answered in a form that kmsg writes byte for byte: with the response header that the version
// has, and a throttle time of 0 where the version has it.
func TestAPIs_AV_04_CONN_03_CONN_21_every_version_of_the_table_is_answered(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.h.LogDirs = func() []LogDir { return nil }
		for _, a := range APIs() {
			if closesOnDefaults[a.Key] || needsGroups[a.Key] {
				continue
			}
			for v := a.Min; v <= a.Max; v++ {
				req := kmsg.RequestForKey(int16(a.Key))
				switch r := req.(type) {
				case *kmsg.ProduceRequest:
					r.Acks = 1
				case *kmsg.ApiVersionsRequest:
					r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1"
				case *kmsg.FetchRequest:
					r.MaxWaitMillis = 0
				}
				resp := do[kmsg.Response](b.client, v, req)
				if resp.GetVersion() != v || resp.Key() != int16(a.Key) {
					b.t.Errorf("%s v%d: %T v%d", a.Key.Name(), v, resp, resp.GetVersion())
				}
				if throttled, ok := resp.(kmsg.ThrottleResponse); ok {
					if millis, _ := throttled.Throttle(); millis != 0 {
						b.t.Errorf("%s v%d: throttled for %d ms", a.Key.Name(), v, millis)
					}
				}
			}
		}
	})
}

// closesOnDefaults are APIs of which a request with nothing in it ends the connection, as it does with Kafka (ACL-14).
var closesOnDefaults = map[kmsg.Key]bool{kmsg.DescribeACLs: true}

// needsGroups are the APIs of the group coordinator, which has tests of its own.
var needsGroups = map[kmsg.Key]bool{
	kmsg.OffsetCommit: true, kmsg.OffsetFetch: true, kmsg.JoinGroup: true, kmsg.Heartbeat: true, kmsg.LeaveGroup: true, kmsg.SyncGroup: true,
	kmsg.DescribeGroups: true, kmsg.ListGroups: true, kmsg.DeleteGroups: true, kmsg.OffsetDelete: true, kmsg.FindCoordinator: true,
}
