package handlers

import (
	"strconv"

	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one API that this broker serves. The version gate, the ApiVersions answer and the compatibility table are read from this list.
type API struct {
	Key kmsg.Key
	// Min and Max are the versions that are answered.
	Min, Max int16
	// AdvertisedMin is lower than Min only for Produce (checklist AV-03).
	AdvertisedMin int16
	// Unadvertised APIs are answered but not listed, as Kafka does with client metrics while nothing receives them (checklist TELE-06).
	Unadvertised bool

	hot    bool // the handler keeps nothing of the request: its frame and struct are used again
	blocks bool // the handler may wait for the controller before it returns
	handle func(*Handlers, *wire.Request)
}

func api(key kmsg.Key, minVersion, maxVersion int16, handle func(*Handlers, *wire.Request)) API {
	return API{Key: key, Min: minVersion, Max: maxVersion, AdvertisedMin: minVersion, handle: handle}
}

// blocking is an API whose handler may wait for the controller.
func blocking(key kmsg.Key, minVersion, maxVersion int16, handle func(*Handlers, *wire.Request)) API {
	a := api(key, minVersion, maxVersion, handle)
	a.blocks = true
	return a
}

// APIs is the list. The ranges are those of Kafka 4.4's broker listener.
func APIs() []API {
	produce := api(kmsg.Produce, 3, 13, (*Handlers).produce)
	produce.AdvertisedMin, produce.hot = 0, true
	getTelemetry := api(kmsg.GetTelemetrySubscriptions, 0, 0, (*Handlers).getTelemetrySubscriptions)
	pushTelemetry := api(kmsg.PushTelemetry, 0, 0, (*Handlers).pushTelemetry)
	getTelemetry.Unadvertised, pushTelemetry.Unadvertised = true, true
	return []API{
		produce,
		api(kmsg.Fetch, 4, 18, (*Handlers).fetch),
		api(kmsg.ListOffsets, 1, 11, (*Handlers).listOffsets),
		blocking(kmsg.Metadata, 0, 13, (*Handlers).metadata), // it creates topics
		api(kmsg.OffsetCommit, 2, 10, (*Handlers).offsetCommit),
		api(kmsg.OffsetFetch, 1, 10, (*Handlers).offsetFetch),
		blocking(kmsg.FindCoordinator, 0, 6, (*Handlers).findCoordinator), // it creates the internal topics
		api(kmsg.JoinGroup, 0, 9, (*Handlers).joinGroup),
		api(kmsg.Heartbeat, 0, 4, (*Handlers).heartbeat),
		api(kmsg.LeaveGroup, 0, 5, (*Handlers).leaveGroup),
		api(kmsg.SyncGroup, 0, 5, (*Handlers).syncGroup),
		api(kmsg.DescribeGroups, 0, 6, (*Handlers).describeGroups),
		api(kmsg.ListGroups, 0, 5, (*Handlers).listGroups),
		api(kmsg.SASLHandshake, 0, 1, (*Handlers).saslHandshake),
		api(kmsg.ApiVersions, 0, 5, (*Handlers).apiVersions),
		blocking(kmsg.CreateTopics, 2, 7, (*Handlers).createTopics),
		blocking(kmsg.DeleteTopics, 1, 6, (*Handlers).deleteTopics),
		api(kmsg.DeleteRecords, 0, 2, (*Handlers).deleteRecords),
		blocking(kmsg.InitProducerID, 0, 5, (*Handlers).initProducerID), // a new block of ids
		api(kmsg.OffsetForLeaderEpoch, 2, 4, (*Handlers).offsetForLeaderEpoch),
		api(kmsg.DescribeACLs, 1, 3, (*Handlers).describeACLs),
		api(kmsg.CreateACLs, 1, 3, (*Handlers).createACLs),
		api(kmsg.DeleteACLs, 1, 3, (*Handlers).deleteACLs),
		api(kmsg.DescribeConfigs, 1, 4, (*Handlers).describeConfigs),
		blocking(kmsg.AlterConfigs, 0, 2, (*Handlers).alterConfigs),
		api(kmsg.AlterReplicaLogDirs, 1, 2, (*Handlers).alterReplicaLogDirs),
		api(kmsg.DescribeLogDirs, 1, 5, (*Handlers).describeLogDirs),
		api(kmsg.SASLAuthenticate, 0, 2, (*Handlers).saslAuthenticate),
		blocking(kmsg.CreatePartitions, 0, 3, (*Handlers).createPartitions),
		api(kmsg.CreateDelegationToken, 1, 3, (*Handlers).createDelegationToken),
		api(kmsg.RenewDelegationToken, 1, 2, (*Handlers).renewDelegationToken),
		api(kmsg.ExpireDelegationToken, 1, 2, (*Handlers).expireDelegationToken),
		api(kmsg.DescribeDelegationToken, 1, 3, (*Handlers).describeDelegationToken),
		api(kmsg.DeleteGroups, 0, 3, (*Handlers).deleteGroups),
		blocking(kmsg.ElectLeaders, 0, 2, (*Handlers).electLeaders),
		blocking(kmsg.IncrementalAlterConfigs, 0, 1, (*Handlers).incrementalAlterConfigs),
		blocking(kmsg.AlterPartitionAssignments, 0, 1, (*Handlers).alterPartitionReassignments),
		api(kmsg.ListPartitionReassignments, 0, 0, (*Handlers).listPartitionReassignments),
		api(kmsg.OffsetDelete, 0, 0, (*Handlers).offsetDelete),
		api(kmsg.DescribeQuorum, 0, 2, (*Handlers).describeQuorum),
		blocking(kmsg.UpdateFeatures, 0, 2, (*Handlers).updateFeatures),
		api(kmsg.DescribeCluster, 0, 2, (*Handlers).describeCluster),
		api(kmsg.DescribeProducers, 0, 0, (*Handlers).describeProducers),
		blocking(kmsg.UnregisterBroker, 0, 0, (*Handlers).unregisterBroker),
		getTelemetry,
		pushTelemetry,
		api(kmsg.ListConfigResources, 0, 1, (*Handlers).listConfigResources),
		api(kmsg.DescribeTopicPartitions, 0, 0, (*Handlers).describeTopicPartitions),
	}
}

// WireAPIs is the list as the version gate needs it.
func WireAPIs() []wire.API {
	var out []wire.API
	for _, a := range APIs() {
		out = append(out, wire.API{
			Key: int16(a.Key), Name: a.Key.Name(), MinVersion: a.Min, MaxVersion: a.Max,
			ReusesFrame: a.hot, UnsafeStrings: a.hot, ReusesBody: a.hot, MayBlock: a.blocks,
		})
	}
	return out
}

func nodeName(id int32) string { return strconv.Itoa(int(id)) }
