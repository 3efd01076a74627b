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
	fetch := api(kmsg.Fetch, 4, 18, (*Handlers).fetch)
	return []API{
		produce,
		fetch,
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
