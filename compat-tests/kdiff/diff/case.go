// Package diff runs the same conversation with two Kafka-protocol brokers and
// compares what they answer, request by request.
//
// A Case is a function that talks to one broker through a T. It runs twice,
// once per side. Whatever it receives is recorded as a Step: a label, an
// outcome and the answer as a generic tree. Values that are a broker's own
// choice (topic ids, producer ids, hosts ...) are replaced by symbols in order
// of first appearance (see Normaliser), so that relations between answers are
// still compared. Cases hold no expectations: side A, the oracle, is the truth.
//
// A T and its Conns belong to the goroutine that runs the case; the two sides
// share nothing.
package diff

import (
	"fmt"
	"strings"
)

// A Case is one conversation to compare.
type Case struct {
	Name string   // AREA/what_it_does[/vN]
	IDs  []string // ids of the behaviour checklist that it touches
	Run  func(*T)

	// Exclusive marks a case that changes or reads cluster-wide state; it runs
	// alone, after all others.
	Exclusive bool
}

// Area is the part of the name before the first slash.
func (c Case) Area() string {
	area, _, _ := strings.Cut(c.Name, "/")
	return area
}

// A List collects cases.
type List struct{ Cases []Case }

// Add appends one case; ids are separated by spaces.
func (l *List) Add(name, ids string, run func(*T)) {
	l.Cases = append(l.Cases, Case{Name: name, IDs: strings.Fields(ids), Run: run})
}

// AddExclusive appends a case that runs alone.
func (l *List) AddExclusive(name, ids string, run func(*T)) {
	l.Cases = append(l.Cases, Case{Name: name, IDs: strings.Fields(ids), Run: run, Exclusive: true})
}

// Each appends one case per version, named name/vN.
func (l *List) Each(name, ids string, versions []int16, run func(*T, int16)) {
	for _, v := range versions {
		l.Add(fmt.Sprintf("%s/v%d", name, v), ids, func(t *T) { run(t, v) })
	}
}

// EachExclusive is Each for cases that run alone.
func (l *List) EachExclusive(name, ids string, versions []int16, run func(*T, int16)) {
	for _, v := range versions {
		l.AddExclusive(fmt.Sprintf("%s/v%d", name, v), ids, func(t *T) { run(t, v) })
	}
}

// Range lists the versions from first to last.
func Range(first, last int16) []int16 {
	var vs []int16
	for v := first; v <= last; v++ {
		vs = append(vs, v)
	}
	return vs
}

// Versions lists the given versions.
func Versions(vs ...int16) []int16 { return vs }
