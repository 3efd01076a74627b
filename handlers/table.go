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
	reusesFrame   bool
	handle        func(*Handlers, *wire.Request)
}

func api(key kmsg.Key, minVersion, maxVersion int16, handle func(*Handlers, *wire.Request)) API {
	return API{Key: key, Min: minVersion, Max: maxVersion, AdvertisedMin: minVersion, handle: handle}
}

// apis is the list. The ranges are those of Kafka 4.4's broker listener.
func apis() []API {
	produce := api(kmsg.Produce, 3, 13, (*Handlers).produce)
	produce.AdvertisedMin, produce.reusesFrame = 0, true
	fetch := api(kmsg.Fetch, 4, 18, (*Handlers).fetch)
	fetch.reusesFrame = true
	return []API{
		produce,
		fetch,
	}
}

func nodeName(id int32) string { return strconv.Itoa(int(id)) }
