// Package cases holds the cases that the brokers' developers see and run, one
// file per area. A case says nothing about what is right: Kafka does.
package cases

import "github.com/kbroker/kbroker/compat-tests/kdiff/diff"

// All lists every case.
func All() []diff.Case {
	var l diff.List
	connections(&l)
	apiVersions(&l)
	metadata(&l)
	topics(&l)
	topicBatches(&l)
	produce(&l)
	produceBatches(&l)
	idempotence(&l)
	fetch(&l)
	fetchSegments(&l)
	fetchSessions(&l)
	offsetsOfLogs(&l)
	classicGroups(&l)
	groupAdmin(&l)
	committedOffsets(&l)
	groupBatches(&l)
	nextGroups(&l)
	transactions(&l)
	shareGroups(&l)
	configs(&l)
	admin(&l)
	configBatches(&l)
	security(&l)
	return l.Cases
}
