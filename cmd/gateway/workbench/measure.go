package workbench

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Load is what a guest is measured with.
type Load struct {
	Topic   string
	Records int // in a call
	Size    int // of a value, bytes
	Value   []byte
	Total   int // records in all
	Fetch   bool
	// Progress, if not nil, is told how many records are done.
	Progress func(records int)
}

// Measured is what a guest costs.
type Measured struct {
	Records   int           `json:"records"`
	PerRecord time.Duration `json:"ns_per_record"` // the host's part included
	Guest     time.Duration `json:"guest_ns_per_record"`
	P50       time.Duration `json:"p50_ns_per_call"`
	P99       time.Duration `json:"p99_ns_per_call"`
	Memory    uint32        `json:"instance_bytes"` // the most that an instance has had
	Failures  int64         `json:"failures"`
}

// Measure shows a load to a guest, call by call.
func (b *Bench) Measure(ctx context.Context, l Load) (m Measured, err error) {
	value := l.Value
	if value == nil {
		value = make([]byte, l.Size)
		for i := range value {
			value[i] = "abcdefgh 0123456789"[i%19]
		}
	}
	c := Case{Kind: "produce", Client: Client{ID: "bench"}}
	for range l.Records {
		c.Records = append(c.Records, Record{Topic: l.Topic, Key: &Text{[]byte("key")}, Value: &Text{value}, Timestamp: 1})
	}
	parts, _, err := partitions(c)
	if err != nil {
		return m, err
	}
	h := &blocks.Head{Kind: abi.KindProduce, Version: 9, ClientID: "bench"}
	if l.Fetch {
		h = &blocks.Head{Kind: abi.KindFetch, Key: 1, Version: 12, ClientID: "bench"}
	}
	raw := parts[0].Records
	busy := b.InGuest.Load()
	var calls []time.Duration
	began := time.Now()
	for m.Records < l.Total && ctx.Err() == nil {
		at := time.Now()
		if err := b.Records(ctx, h, []*blocks.Partition{{Topic: l.Topic, Records: raw}}); err != nil {
			return m, err
		}
		calls = append(calls, time.Since(at))
		m.Records += l.Records
		if l.Progress != nil {
			l.Progress(m.Records)
		}
	}
	m.PerRecord = time.Since(began) / time.Duration(max(m.Records, 1))
	m.Guest = time.Duration((b.InGuest.Load() - busy) / int64(max(m.Records, 1)))
	slices.Sort(calls)
	if n := len(calls); n > 0 {
		m.P50, m.P99 = calls[n/2], calls[n*99/100]
	}
	_, m.Memory = b.Instances()
	m.Failures = b.Failed.Load()
	return m, ctx.Err()
}
