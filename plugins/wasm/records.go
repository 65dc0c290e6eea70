package wasm

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// place is where a record of a block stands in its request.
type place struct {
	topic, partition int
	batch            int // its position in the partition's records
	index            int // in its batch
}

// block is the records of one request that a guest sees.
type block struct {
	records []kafka.Record
	places  []place
	groups  []group
}

type group struct {
	topic, partition int
	name             string
	first, count     int
}

// collect decodes the records of the topics that the guest covers. Control batches and message sets of
// old formats are never shown.
func (w *Wasm) collect(req *plugin.Request, p *kmsg.ProduceRequest) (*block, error) {
	b := &block{}
	for i, t := range p.Topics {
		name := w.name(req, t)
		if !w.cfg.covers(name) {
			continue
		}
		for j, part := range t.Partitions {
			g := group{topic: i, partition: j, name: name, first: len(b.records)}
			for at, batch := range kafka.Batches(part.Records) {
				if batch.IsControl() {
					continue
				}
				records, err := kafka.Records(batch)
				if err != nil {
					return nil, err
				}
				for k, r := range records {
					b.records = append(b.records, r)
					b.places = append(b.places, place{i, j, at, k})
				}
			}
			if g.count = len(b.records) - g.first; g.count > 0 {
				b.groups = append(b.groups, g)
			}
		}
	}
	return b, nil
}

// name is the topic's name above or below the interceptor that turns names.
func (w *Wasm) name(req *plugin.Request, t kmsg.ProduceRequestTopic) string {
	if t.Topic != "" {
		return t.Topic
	}
	if known := w.env.Catalog.ByID(t.TopicID); known != nil {
		return known.Name
	}
	if c := w.env.Cluster(req.Target.Cluster); c != nil {
		if pt := c.Topology().IDs[t.TopicID]; pt != nil {
			return pt.Name
		}
	}
	return ""
}

// encode writes the record block.
func (b *block) encode(req *plugin.Request, p *kmsg.ProduceRequest) []byte {
	le := binary.LittleEndian
	groups := abi.HeadSize
	records := groups + len(b.groups)*abi.GroupSize
	out := make([]byte, records+len(b.records)*abi.RecordSize, records+len(b.records)*(abi.RecordSize+256))
	text := func(at int, s []byte) {
		le.PutUint32(out[at:], uint32(len(out)))
		le.PutUint32(out[at+4:], uint32(len(s)))
		out = append(out, s...)
	}
	le.PutUint32(out[abi.HeadLen:], abi.HeadSize)
	le.PutUint16(out[abi.HeadKind:], abi.KindProduce)
	le.PutUint16(out[abi.HeadKey:], uint16(req.Key))
	le.PutUint16(out[abi.HeadVersion:], uint16(req.Version))
	le.PutUint64(out[abi.HeadSession:], req.Session.ID)
	for i, n := range []int{abi.GroupSize, len(b.groups), groups, abi.RecordSize, len(b.records), records} {
		le.PutUint32(out[abi.HeadGroups+4*i:], uint32(n))
	}
	text(abi.HeadClient, []byte(req.ClientID))
	for i, g := range b.groups {
		at := groups + i*abi.GroupSize
		text(at+abi.GroupTopic, []byte(g.name))
		id := p.Topics[g.topic].TopicID
		copy(out[at+abi.GroupID:], id[:])
		le.PutUint32(out[at+abi.GroupPartition:], uint32(p.Topics[g.topic].Partitions[g.partition].Partition))
		le.PutUint32(out[at+abi.GroupFirst:], uint32(g.first))
		le.PutUint32(out[at+abi.GroupCount:], uint32(g.count))
	}
	for i, r := range b.records {
		at := records + i*abi.RecordSize
		le.PutUint64(out[at+abi.RecordTimestamp:], uint64(r.Timestamp))
		le.PutUint64(out[at+abi.RecordOffset:], uint64(r.Offset))
		for _, f := range []struct {
			at int
			b  []byte
		}{{at + abi.RecordKey, r.Key}, {at + abi.RecordValue, r.Value}} {
			if text(f.at, f.b); f.b == nil {
				le.PutUint32(out[f.at+4:], abi.Null)
			}
		}
		le.PutUint32(out[at+abi.RecordHeaders:], uint32(len(out)))
		le.PutUint32(out[at+abi.RecordHeaders+4:], uint32(len(r.Headers)))
		for _, h := range r.Headers {
			n := uint32(len(h.Value))
			if h.Value == nil {
				n = abi.Null
			}
			out = le.AppendUint32(out, uint32(len(h.Key)))
			out = le.AppendUint32(out, n)
			out = append(append(out, h.Key...), h.Value...)
		}
	}
	return out
}

// edit is one change of a record.
type edit struct {
	record int
	op     byte
	name   string
	value  []byte
}

// parseResult checks a result block in full before anything of it is applied.
func parseResult(res []byte) ([]edit, *verdict, error) {
	if len(res) == 0 {
		return nil, nil, nil
	}
	le := binary.LittleEndian
	if len(res) < abi.ResultSize || le.Uint32(res) < abi.ResultSize {
		return nil, nil, errBadResult
	}
	piece := func(at int) ([]byte, error) {
		off, n := uint64(le.Uint32(res[at:])), uint64(le.Uint32(res[at+4:]))
		if off+n > uint64(len(res)) {
			return nil, errBadResult
		}
		return res[off : off+n], nil
	}
	message, err := piece(abi.ResultMessage)
	if err != nil {
		return nil, nil, err
	}
	switch le.Uint16(res[abi.ResultAction:]) {
	case abi.ActionForward:
	case abi.ActionError:
		return nil, &verdict{int16(le.Uint16(res[abi.ResultCode:])), string(message)}, nil
	default:
		return nil, nil, fmt.Errorf("%w: unknown action %d", errBadResult, le.Uint16(res[abi.ResultAction:]))
	}
	b, err := piece(abi.ResultEdits)
	if err != nil {
		return nil, nil, err
	}
	var edits []edit
	for len(b) > 0 {
		if len(b) < abi.EditHead {
			return nil, nil, errBadResult
		}
		e := edit{record: int(le.Uint32(b)), op: b[4]}
		n1, n2 := uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
		null := n2 == abi.Null
		if null {
			n2 = 0
		}
		if b = b[abi.EditHead:]; n1+n2 > uint64(len(b)) {
			return nil, nil, errBadResult
		}
		e.name = string(b[:n1])
		if !null {
			e.value = append([]byte{}, b[n1:n1+n2]...)
		}
		b = b[n1+n2:]
		edits = append(edits, e)
	}
	return edits, nil, nil
}

// apply rebuilds the batches that have edits and returns the request with them.
func (b *block) apply(req *plugin.Request, edits []edit) (*plugin.Request, error) {
	type key struct{ topic, partition, batch int }
	touched := map[key]bool{}
	for _, e := range edits {
		if e.record < 0 || e.record >= len(b.records) {
			return nil, fmt.Errorf("an edit names record %d of %d", e.record, len(b.records))
		}
		r := &b.records[e.record]
		switch e.op {
		case abi.OpAddHeader:
			r.Headers = append(r.Headers, kmsg.Header{Key: e.name, Value: e.value})
		case abi.OpSetValue:
			r.Value = e.value
		case abi.OpSetKey:
			r.Key = e.value
		default:
			return nil, fmt.Errorf("unknown edit %d", e.op)
		}
		p := b.places[e.record]
		touched[key{p.topic, p.partition, p.batch}] = true
	}
	f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
	if err != nil {
		return nil, err
	}
	for _, g := range b.groups {
		part := &m.Topics[g.topic].Partitions[g.partition]
		var out []byte
		last, next := 0, g.first
		for at, batch := range kafka.Batches(part.Records) {
			out = append(out, part.Records[last:at]...)
			last = at + len(batch)
			var records []kafka.Record
			for next < g.first+g.count && b.places[next].batch == at {
				records = append(records, b.records[next])
				next++
			}
			if touched[key{g.topic, g.partition, at}] {
				if batch, err = kafka.Rebuild(batch, records); err != nil {
					f.Queued()
					return nil, err
				}
			}
			out = append(out, batch...)
		}
		part.Records = append(out, part.Records[last:]...)
	}
	return f, nil
}
