package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Error codes of Kafka that the host gives.
const (
	unknownServerError  = -1
	requestTimedOut     = 7
	authorizationFailed = 29
	policyViolation     = 44
	invalidRecord       = 87
)

// Partition is the records of one partition, before and after a guest.
type Partition struct {
	Topic   string
	ID      [16]byte
	Number  int32
	Records []byte
	// Out has the records after the guest, nil if it changed none.
	Out []byte
	// Refused is not nil if the guest refused a record: the partition is answered with it. Rejected are all of them.
	Refused  *RefusalError
	Rejected []RefusalError
	// Dropped are the records left out, counted from the first of the partition that was shown.
	Dropped []int
	// Failed is why the guest was not shown them, or could not be: see Serve.
	Failed error

	shown     int
	admission admission
	buffer    *[]byte // what Out is in, nil for memory of its own
}

func (p *Partition) reject(r RefusalError) {
	if p.Rejected = append(p.Rejected, r); p.Refused == nil {
		p.Refused = &p.Rejected[0]
	}
}

// RefusalError is an answer with a Kafka error code.
type RefusalError struct {
	Code    int16
	Message string
	Index   int // of the record in its batch, -1: all of it
	Close   bool
}

func (r *RefusalError) Error() string {
	return fmt.Sprintf("refused by a guest: %s (%d)", r.Message, r.Code)
}

// batch is a batch that the guest is shown.
type batch struct {
	part    *Partition
	at      int // its position in the partition's records
	first   int // how many records of the partition stand before it
	raw     kafka.Batch
	records []kafka.Record
	touched bool
	gone    []bool // records dropped; nil for none
}

// shown is a part of a batch in one call: a group.
type shown struct {
	batch       *batch
	first, last int
}

// Records shows records to the guest and fills in what it makes of them. The error is a *RefusalError if the guest refused
// all of it; any other means that the call did not work.
func (g *Guest) Records(ctx context.Context, h *Head, parts []*Partition) error {
	within, done := h.Client.Decode()
	defer done()
	batches := g.collect(within, h.Kind, parts)
	defer g.lists.release(batches)
	if err := g.showAll(ctx, h, parts, batches); err != nil {
		return err
	}
	if g.Trace != nil {
		for _, p := range parts {
			g.Trace(g.Name, h, p)
		}
	}
	return nil
}

// showAll makes the calls, and puts together what comes of them. If it is a single call, that is done while the plugin's copy is
// still the call's: what it has changed is read where it stands.
func (g *Guest) showAll(ctx context.Context, h *Head, parts []*Partition, batches []*batch) error {
	finish := func() error {
		for _, b := range batches {
			if b.part.Refused == nil && b.touched {
				g.settle(ctx, h, b)
			}
		}
		return assemble(parts, batches, h.Kind, &g.buffers)
	}
	calls := g.portions(batches)
	if len(calls) == 1 {
		var finished error // is no failure of the guest
		err := g.show(ctx, h, calls[0], func(s spender, records int, edits, input []byte) error {
			err := change(s, calls[0], records, edits, input, h.Kind)
			if err == nil {
				finished = finish()
			}
			return err
		})
		if err == nil {
			err = finished
		}
		return err
	}
	var slabs slabs
	defer slabs.release(&g.buffers)
	for _, call := range calls {
		err := g.show(ctx, h, call, func(s spender, records int, edits, input []byte) error {
			input = inputOf(edits, input, func(n int) []byte { return slabs.take(&g.buffers, n) })
			return change(s, call, records, bytes.Clone(edits), input, h.Kind)
		})
		if err != nil {
			return err
		}
	}
	return finish()
}

var errOldFormat = errors.New("record formats before 2 can't be shown to a guest, and this one must not be passed by")

// collect decodes what guests are shown: no control batches, no broken ones, and no formats before 2. A partition with a batch that
// can't be decoded, or is too large then, is refused where it is produced; one that a broker has is a failure, of which on_error
// decides what becomes.
func (g *Guest) collect(within kafka.Bounds, kind uint16, parts []*Partition) (out []*batch) {
	for _, p := range parts {
		first := len(out)
		var err error
		if out, err = g.decode(within, p, out); err == nil {
			continue
		}
		g.lists.release(out[first:])
		if out = out[:first]; kind == abi.KindProduce {
			p.reject(RefusalError{Code: invalidRecord, Message: err.Error(), Index: -1})
		} else {
			p.Failed = err
		}
	}
	return out
}

// decode adds the batches of a partition.
func (g *Guest) decode(within kafka.Bounds, p *Partition, out []*batch) ([]*batch, error) {
	end := 0 // of the batches that were seen
	for at, raw := range kafka.Batches(p.Records) {
		end = at + len(raw)
		if raw.IsControl() || raw.Count() == 0 || !raw.ValidCRC() { // who checks a broken one next must find it so
			continue
		}
		records, err := g.lists.decode(within, raw)
		if err != nil {
			return out, err
		}
		out = append(out, &batch{part: p, at: at, first: p.shown, raw: raw, records: records})
		p.shown += len(records)
	}
	if g.Manifest.FailClosedOnly && kafka.HasOldMagic(p.Records[end:]) {
		return out, errOldFormat
	}
	return out, nil
}

// show makes one call. apply gets the edits, and what the input has become.
func (g *Guest) show(ctx context.Context, h *Head, call []shown, apply func(s spender, records int, edits, input []byte) error) error {
	size, records := blockSize(call)
	var refusal error // is no failure of the guest
	b := block{size: size, head: h, call: call, records: records}
	err := g.invoke(ctx, abi.ExportOnRecords, h, b, func(s spender, out, input []byte) error {
		r, err := parseResult(out)
		switch {
		case err != nil:
			return err
		case r.action == abi.ActionError:
			refusal = &RefusalError{Code: r.code, Message: string(r.message), Index: -1}
			return nil
		case r.action == abi.ActionClose:
			refusal = &RefusalError{Message: string(r.message), Index: -1, Close: true}
			return nil
		case r.action != abi.ActionForward || r.body != nil:
			return errBadResult
		}
		return apply(s, records, r.changes, input)
	})
	if err != nil {
		return err
	}
	return refusal
}

// blockSize is how many bytes the block of a call has, or some more, and how many records.
func blockSize(call []shown) (size, records int) {
	size = headRoom + len(call)*(abi.GroupSize+256)
	for _, s := range call {
		records += s.last - s.first
		for i := s.first; i < s.last; i++ {
			size += recordSize(&s.batch.records[i])
		}
	}
	return size, records
}

// block is what a function is called with.
type block struct {
	size     int // about, and mostly not less than it has
	head     *Head
	deadline time.Time
	body     []byte  // of a message
	call     []shown // or records
	records  int
	plain    []byte // or, without a head, the configuration
}

// encode appends the block.
func (b *block) encode(out []byte) []byte {
	if b.head == nil {
		return append(out, b.plain...)
	}
	call := b.call
	out = b.head.append(out, b.deadline, len(call), b.records, b.body)
	n := 0
	for i, s := range call {
		at, raw := abi.HeadSize+i*abi.GroupSize, s.batch.raw
		le.PutUint32(out[at+abi.GroupTopic:], uint32(len(out)))
		le.PutUint32(out[at+abi.GroupTopic+4:], uint32(len(s.batch.part.Topic)))
		out = append(out, s.batch.part.Topic...)
		copy(out[at+abi.GroupID:], s.batch.part.ID[:])
		le.PutUint32(out[at+abi.GroupPartition:], uint32(s.batch.part.Number))
		le.PutUint32(out[at+abi.GroupFirst:], uint32(n))
		le.PutUint32(out[at+abi.GroupCount:], uint32(s.last-s.first))
		le.PutUint16(out[at+abi.GroupAttributes:], uint16(raw.Attributes()))
		le.PutUint16(out[at+abi.GroupProducerEpoch:], uint16(raw.ProducerEpoch()))
		le.PutUint64(out[at+abi.GroupProducerID:], uint64(raw.ProducerID()))
		le.PutUint64(out[at+abi.GroupBaseOffset:], uint64(raw.BaseOffset()))
		le.PutUint32(out[at+abi.GroupBaseSequence:], uint32(raw.BaseSequence()))
		for j := s.first; j < s.last; j++ {
			out = appendRecord(out, abi.HeadSize+len(call)*abi.GroupSize+n*abi.RecordSize, &s.batch.records[j])
			n++
		}
	}
	return out
}

// appendRecord fills in the descriptor of a record and adds its bytes.
func appendRecord(out []byte, at int, r *kafka.Record) []byte {
	le.PutUint64(out[at+abi.RecordTimestamp:], uint64(r.Timestamp))
	le.PutUint64(out[at+abi.RecordOffset:], uint64(r.Offset))
	le.PutUint32(out[at+abi.RecordKey:], uint32(len(out)))
	le.PutUint32(out[at+abi.RecordKey+4:], length(r.Key))
	out = append(out, r.Key...)
	le.PutUint32(out[at+abi.RecordValue:], uint32(len(out)))
	le.PutUint32(out[at+abi.RecordValue+4:], length(r.Value))
	out = append(out, r.Value...)
	le.PutUint32(out[at+abi.RecordHeaders:], uint32(len(out)))
	le.PutUint32(out[at+abi.RecordHeaders+4:], uint32(len(r.Headers)))
	for i := range r.Headers {
		out = le.AppendUint32(out, uint32(len(r.Headers[i].Key)))
		out = le.AppendUint32(out, length(r.Headers[i].Value))
		out = append(append(out, r.Headers[i].Key...), r.Headers[i].Value...)
	}
	return out
}

func length(b []byte) uint32 {
	if b == nil {
		return abi.Null
	}
	return uint32(len(b))
}

// assemble puts the batches that were changed into their partitions; the others stay the bytes that they were.
func assemble(parts []*Partition, batches []*batch, kind uint16, buffers *buffers) error {
	gaps := kafka.CloseGaps
	if kind == abi.KindFetch {
		gaps = kafka.KeepGaps
	}
	next := 0
	for _, p := range parts {
		var out []byte
		from, last := 0, 0
		for ; next < len(batches) && batches[next].part == p; next++ {
			b := batches[next]
			if !b.touched || p.Refused != nil {
				continue
			}
			kept := b.records
			if b.gone != nil {
				kept = nil
				for i := range b.records {
					if !b.gone[i] {
						kept = append(kept, b.records[i])
					} else {
						p.Dropped = append(p.Dropped, b.first+i)
					}
				}
			}
			buffer := buffers.get()
			raw, err := kafka.RebuildIn(*buffer, b.raw, kept, gaps)
			if err != nil {
				return err
			}
			*buffer = raw
			if last = b.at + len(b.raw); b.at == 0 && last == len(p.Records) {
				out, p.buffer = raw, buffer // there is nothing else
				continue
			}
			if out == nil {
				out = make([]byte, 0, len(p.Records)+len(raw))
			}
			out = append(append(out, p.Records[from:b.at]...), raw...)
			buffers.put(buffer)
			from = last
		}
		if out != nil {
			p.Out = append(out, p.Records[last:]...)
		}
	}
	return nil
}

// reclaim takes the memory of what was made of partitions back: nobody reads it any more.
func (g *Guest) reclaim(parts []*Partition) {
	for _, p := range parts {
		if p.buffer != nil {
			g.buffers.put(p.buffer)
			p.buffer, p.Out = nil, nil
		}
	}
}
