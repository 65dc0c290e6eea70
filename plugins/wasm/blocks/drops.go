package blocks

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// drop leaves a record out. Of an idempotent producer it becomes a tombstone. Of any other producer
// it does too as long as no record before it is kept: whether the batch may go without it is known
// when all of it is.
func (b *batch) drop(r *kafka.RawRecord, kind uint16) {
	b.gone = append(b.gone, b.written-1)
	if kind != abi.KindProduce {
		return
	}
	r.Value = nil
	switch {
	case b.plain.ProducerID() >= 0:
		b.out.Put(r)
	case b.out.Count() == 0:
		if b.allGone == nil {
			w := b.plain.Rewrite(nil, kafka.CloseGaps, 0)
			b.allGone = &w
		}
		b.allGone.Put(r)
	}
}

// JudgeDropped decides what becomes of records that were dropped on produce: with tombstones their
// values become null where they can't be left out. See Kafka's rules in sdk/ABI.md.
func (bs *Batches) JudgeDropped(ctx context.Context, h *Head, tombstones bool) {
	if bs.kind != abi.KindProduce {
		return
	}
	for _, b := range bs.list {
		if b.touched && b.part.Refused == nil && len(b.gone) > 0 {
			b.judgeDropped(ctx, h, tombstones)
		}
	}
}

func (b *batch) judgeDropped(ctx context.Context, h *Head, tombstones bool) {
	all := len(b.gone) == int(b.plain.Count())
	if b.plain.ProducerID() < 0 && !all {
		return
	}
	var why error // is not nil if they can't be tombstones
	code := int16(kafka.InvalidRecord)
	switch {
	case !tombstones:
		why = errDropped
	case h.Topics == nil:
	default:
		switch yes, err := h.Topics.Compacted(ctx, h.Cluster, b.part.Topic); {
		case err != nil:
			why, code = fmt.Errorf("dropped by a guest, and whether the topic is compacted is not known: %w", err), int16(kafka.RequestTimedOut)
		case yes:
			why = errCompacted
		}
	}
	if why != nil {
		for _, i := range b.gone {
			b.part.Reject(RefusalError{Code: code, Message: why.Error(), Index: i})
		}
	} else if b.plain.ProducerID() < 0 {
		b.out = *b.allGone
	}
	b.gone = nil // all of them stay, in one way or another
}

var (
	errDropped   = errors.New("dropped by a guest, which a broker would not take: see produce_drop")
	errCompacted = errors.New("dropped by a guest, and in its place a tombstone would delete what the compacted topic has under its key")
)
