package offsets

import (
	"context"
	"math"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// fetching is what a fetch asks for, and the lineages under which it does. The answer is translated
// by the generation under which the request was sent and cut at that generation's end: what the old
// home appends after a move is not of the virtual log.
type fetching struct {
	h      *kafka.RequestView
	topics []*catalog.Topic
	few    [8]*catalog.Topic
}

// fetchDown translates positions, in place.
func (o *Offsets) fetchDown(req *plugin.Request, s *plugin.Step) plugin.Outcome {
	c, h := o.cluster(req), req.Body.View()
	k := plugin.Keep[fetching](s)
	k.h, k.topics = h, k.few[:0]
	for i := range h.Partitions {
		k.topics = append(k.topics, o.lineageOf(c, h.Partitions[i].Topic, h.Partitions[i].ID))
	}
	changed := false
	for i, t := range k.topics {
		if t == nil || t.Generation == 0 {
			continue
		}
		if !changed {
			s.Change(req)
			changed = true
		}
		p := &h.Partitions[i]
		part := t.Partition(p.Partition)
		at := physicalOf(part, p.Offset)
		if p.Offset >= 0 && p.Offset < part.LogStart {
			at = math.MaxInt64 // out of range, which the home may not know: it may have more than the virtual log
		}
		req.Body.SetPosition(i, at, part.PhysicalEpoch(p.CurrentLeaderEpoch))
	}
	return plugin.GoOn()
}

// fetchUp translates what comes back.
func (o *Offsets) fetchUp(ctx context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	if err != nil || resp == nil {
		return plugin.Answer(resp, err)
	}
	k := plugin.Kept[fetching](s)
	r := resp.Body.View()
	if o.reserved(r, k.h, k.topics) {
		return plugin.Answer(resp, o.fetched(ctx, kafka.Bounds{}, r, k.h, k.topics))
	}
	return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
		within, done := req.Session.Decode()
		if err := o.fetched(ctx, within, r, k.h, k.topics); err != nil {
			done()
			return resp, err
		}
		return onRelease(resp, done), nil
	})
}

// onRelease is an answer of which something is to be done when it is written.
func onRelease(resp *plugin.Response, done func()) *plugin.Response {
	release := resp.Release
	if release == nil {
		done()
		return resp
	}
	return &plugin.Response{Body: resp.Body, Close: resp.Close, Early: resp.Early, Release: func() {
		done()
		release()
	}}
}

// asked finds the lineages under which the partitions of an answer were asked for. Answers keep the
// order of their request: it looks on from where it found the last one.
type asked struct {
	h      *kafka.RequestView
	topics []*catalog.Topic
	next   int
}

func (a *asked) sentTo(topic []byte, id [16]byte, partition int32) *catalog.Topic {
	for range a.h.Partitions {
		if a.next >= len(a.h.Partitions) {
			a.next = 0
		}
		i := a.next
		a.next++
		if p := &a.h.Partitions[i]; p.Partition == partition && p.ID == id && string(p.Topic) == string(topic) {
			return a.topics[i]
		}
	}
	return nil
}

// shows are the watermarks that an answer to a partition shows.
func shows(t *catalog.Topic, rp *kafka.ResponsePartition) catalog.Watermarks {
	w := catalog.Watermarks{High: rp.HighWatermark, Stable: rp.LastStableOffset, Start: rp.LogStartOffset}
	if t.Generation > 0 {
		w = t.Partition(rp.Partition).ToVirtualMarks(w, false)
	}
	return w
}

// reserved reports that nothing need be stored before an answer is shown, and no batch be written
// anew.
func (o *Offsets) reserved(r *kafka.ResponseView, h *kafka.RequestView, topics []*catalog.Topic) bool {
	a, all := asked{h: h, topics: topics}, true
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		t := a.sentTo(rp.Topic, rp.ID, rp.Partition)
		if t == nil || rp.ErrorCode != 0 {
			continue
		}
		if high := shows(t, rp).High; high >= 0 && !o.env.Catalog.Reserved(t.Name, rp.Partition, high) {
			all = false // what is stored counts the others
		}
		all = all && (t.Generation == 0 || !spans(t.Partition(rp.Partition), rp.Records))
	}
	return all
}

// fetched translates an answer. What it shows is reserved first.
func (o *Offsets) fetched(ctx context.Context, within kafka.Bounds, r *kafka.ResponseView, h *kafka.RequestView, topics []*catalog.Topic) error {
	a := asked{h: h, topics: topics}
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		if rp.Records == nil { // librdkafka drops an answer that has null ones
			r.SetRecords(i, []byte{})
		}
		t := a.sentTo(rp.Topic, rp.ID, rp.Partition)
		if t == nil {
			continue
		}
		w := shows(t, rp)
		if t.Generation > 0 {
			if err := translate(within, r, i, t.Partition(rp.Partition)); err != nil {
				o.log.Error("a batch can't be shown: its records must be given other offsets, and it can't be decoded",
					"topic", t.Name, "partition", rp.Partition, "error", err)
				r.SetErrorCode(i, kafka.CorruptMessage)
			}
		}
		if end, ended := o.end(t, rp.Partition); ended {
			w.High, w.Stable = min(w.High, end), min(w.Stable, end)
			r.SetRecords(i, before(rp.Records, end))
		}
		w, err := o.show(ctx, t, rp.Partition, int16(rp.ErrorCode), w)
		if err != nil {
			return err
		}
		r.SetMarks(i, w.High, w.Stable, w.Start)
	}
	return nil
}

// translate makes what an answer says of a partition, but for its watermarks, what the virtual log
// says. An error is of the first batch, which then stands in the way of all others.
func translate(within kafka.Bounds, r *kafka.ResponseView, i int, part *catalog.Partition) error {
	rp := &r.Partitions[i]
	if rp.Aborted > 0 {
		// Of what is skipped, the markers are too: nothing would say where the transaction ends.
		r.SetAborted(i, func(first int64) (int64, bool) { return part.ToVirtual(first), !part.Distance.Skips(first) })
	}
	if rp.LeaderEpoch >= 0 {
		r.SetLeader(i, rp.LeaderID, part.VirtualEpoch(rp.LeaderEpoch))
	}
	before := len(rp.Records)
	records, err := virtualBatches(within, part, rp.Records)
	if err != nil && len(records) > 0 {
		err = nil // it is the first one of the next fetch
	}
	if err != nil || len(records) != before || before > 0 && &records[0] != &rp.Records[0] {
		r.SetRecords(i, records)
	}
	return err
}

// show reserves what a client is about to see; what it is shown never goes back. Where the home
// could not say anything, it is what was shown last.
func (o *Offsets) show(ctx context.Context, t *catalog.Topic, partition int32, code int16, w catalog.Watermarks) (catalog.Watermarks, error) {
	switch {
	case code != 0:
		return w, nil
	case w.High < 0:
		return t.Watermarks(partition), nil
	}
	if err := o.reserve(ctx, t, partition, w.High); err != nil {
		return w, err
	}
	return t.Show(partition, w), nil
}

// virtualOf maps an offset; -1 stays.
func virtualOf(p *catalog.Partition, physical int64) int64 {
	if physical < 0 {
		return physical
	}
	return p.ToVirtual(physical)
}

// physicalOf maps a position; one below 0 stays, and brokers refuse it.
func physicalOf(p *catalog.Partition, virtual int64) int64 {
	if virtual < 0 {
		return virtual
	}
	return p.ToPhysical(virtual)
}

// end is where the generation of t ended, if it has ended meanwhile.
func (o *Offsets) end(t *catalog.Topic, partition int32) (int64, bool) {
	now := o.env.Catalog.Topic(t.Name)
	if now == nil || now.Generation == t.Generation || now.ID != t.ID || int(partition) >= len(now.Partitions) {
		return 0, false
	}
	for _, s := range now.Partitions[partition].Segments {
		if s.Generation > t.Generation {
			return s.Start, true
		}
	}
	return 0, false
}

// before keeps the batches below a virtual offset.
func before(records []byte, end int64) []byte {
	for at, b := range kafka.Batches(records) {
		if b.LastOffset() >= end {
			return records[:at:at]
		}
	}
	return records
}
