package state

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/sluice-gateway/sluice/core/catalog"
)

const (
	producerBlock      = 1000
	producerCounterEnd = 1 << catalog.ProducerCounterBits
)

type producerState struct {
	Store int64 `json:"store"`
	Next  int64 `json:"next"`
}

// ProducerIDs hands out producer ids from blocks that are reserved in the store, so that a restart
// never gives one out again.
type ProducerIDs struct {
	catalog *catalog.Catalog
	mu      sync.Mutex
	state   producerState
	next    int64
	end     int64
}

// NewProducerIDs continues where the store says.
func NewProducerIDs(c *catalog.Catalog) (*ProducerIDs, error) {
	p := &ProducerIDs{catalog: c}
	ok, err := c.Value(catalog.KindProducer, "", &p.state)
	if err != nil {
		return nil, fmt.Errorf("state: producer ids: %w", err)
	}
	if !ok {
		p.state.Store = randomStore()
	}
	return p, nil
}

func randomStore() int64 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return int64(binary.BigEndian.Uint32(b[:]) & (1<<catalog.ProducerStoreBits - 1))
}

// Next returns a producer id of generation 0.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		s := p.state
		if s.Next+producerBlock > producerCounterEnd {
			s = producerState{Store: randomStore()}
		}
		next := s.Next
		s.Next += producerBlock
		if err := p.catalog.SetValue(ctx, catalog.KindProducer, "", s); err != nil {
			return -1, err
		}
		p.state, p.next, p.end = s, next, s.Next
	}
	id := catalog.ProducerBit | p.state.Store<<catalog.ProducerCounterBits | p.next
	p.next++
	return id, nil
}
