package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// producerIDBlock is how many producer ids a broker takes at a time (KIP-730).
const producerIDBlock = 1000

var errNoProducerIDs = errors.New("all producer ids are given out")

// allocateProducerIDs takes the next block of producer ids. Its result is the block's first id.
type allocateProducerIDs struct{}

// lasting: an id that was given out must not be given again, even if power is cut in os mode.
func (allocateProducerIDs) lasting() bool { return true }

func (allocateProducerIDs) Decide(img *Image, _ Env) (Decision, error) {
	first := img.NextProducerID
	if first > math.MaxInt64-producerIDBlock {
		return Decision{}, errNoProducerIDs
	}
	return Decision{Records: []Record{ProducerIDsRecord{Next: first + producerIDBlock}}, Result: first}, nil
}

// producerIDs gives out the ids of the block that this process took; what is left of it at its end is never used.
type producerIDs struct {
	turn       chan struct{} // holds one token: whose turn it is
	next, left int64
}

func newProducerIDs() *producerIDs {
	p := &producerIDs{turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// NextProducerID gives a producer id that no broker ever gave out before in this cluster (IDEM-02).
func (n *Node) NextProducerID(ctx context.Context) (int64, error) {
	p := n.producerIDs
	select {
	case <-p.turn:
	case <-ctx.Done():
		return -1, ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	if p.left == 0 {
		result, err := n.Do(ctx, allocateProducerIDs{})
		if err != nil {
			return -1, fmt.Errorf("no producer ids: %w", err)
		}
		p.next, p.left = result.(int64), producerIDBlock
	}
	id := p.next
	p.next++
	p.left--
	return id, nil
}
