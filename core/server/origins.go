package server

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// What is looked at of a request or an answer to find where its records come from. The rest counts
// as unread.
const (
	mostRead     = 20_000  // records and headers
	mostInflated = 4 << 20 // bytes that are decompressed
)

// delivers is where the records of a fetch come from that is traced, or may be because of them.
func (s *session) delivers(req *plugin.Request, sl *slot, resp *plugin.Response, traced bool) *telemetry.Origins {
	fetch := req.Key == kmsg.Fetch || req.Key == kmsg.ShareFetch
	if !fetch || resp == nil || req.Trace == nil || !traced && !sl.rt.Tracer.FollowsParents() {
		return nil
	}
	return s.origins(req, resp.Body, sl.rt.TopicName)
}

// origins are the contexts that records carry: those of a produce, or, with an answer, those that a
// fetch delivers.
func (s *session) origins(req *plugin.Request, answer *kafka.ResponseBody, name func([16]byte) string) *telemetry.Origins {
	r := reader{session: s, name: name, left: mostRead, bytes: mostInflated}
	if answer == nil {
		for p := range req.Body.Partitions() {
			r.read(p.Topic, p.ID, p.Partition, p.Records, sent)
		}
		return &r.Origins
	}
	asked := req.Body.Asked()
	for p := range answer.Partitions() {
		if len(p.Records) == 0 {
			continue
		}
		from := int64(0)
		if a := asked.Find(p); a != nil {
			from = a.Offset // a batch may begin before it
		}
		r.read(p.Topic, p.ID, p.Partition, p.Records, from)
	}
	return &r.Origins
}

// sent stands for the first offset of records that have none yet.
const sent = -1

// reader looks into records, within bounds.
type reader struct {
	telemetry.Origins
	session *session
	name    func([16]byte) string
	left    int   // records and headers
	bytes   int64 // that may be decompressed
}

// read looks into the records of a partition, from an offset on.
func (r *reader) read(topic []byte, id [16]byte, partition int32, records []byte, from int64) {
	at := telemetry.Record{Topic: string(topic), Partition: partition, Offset: -1}
	if at.Topic == "" && id != [16]byte{} {
		at.Topic = r.name(id)
	}
	for _, b := range kafka.Batches(records) {
		if !b.IsControl() && (from == sent || b.LastOffset() >= from) {
			r.batch(b, at, from)
		}
	}
}

func (r *reader) batch(b kafka.Batch, at telemetry.Record, from int64) {
	unread := int64(max(b.Count(), 0))
	defer func() { r.Unread += unread }()
	if r.left <= 0 || b.Compression() != 0 && r.bytes <= 0 {
		return
	}
	within, done := r.within()
	defer done()
	_ = within.RecordHeaders(b, func(offset int64, h kafka.Headers) bool {
		unread--
		if from != sent {
			at.Offset = offset
		}
		if offset >= from {
			r.record(h, at)
		}
		return r.left > 0
	})
}

// record reads a record's context. As Kafka's clients do, it takes the last of several headers of
// one name.
func (r *reader) record(h kafka.Headers, at telemetry.Record) {
	r.left--
	var parent, state []byte
	for key, value := range h.All() {
		r.left--
		switch string(key) {
		case telemetry.Traceparent:
			parent = value
		case telemetry.Tracestate:
			state = value
		}
		if r.left <= 0 {
			break
		}
	}
	if parent != nil {
		r.Add(parent, state, at)
	}
}

var errNoRoom = errors.New("there is no memory for what is only looked at")

// within bounds what is decompressed to be looked at, and counts it. It never waits: what there is
// no room for is left out.
func (r *reader) within() (within kafka.Bounds, done func()) {
	most := r.bytes
	if limit := r.session.limits.BatchBytes; limit > 0 {
		most = min(most, limit)
	}
	i := r.session.server.memory.Inflate(r.session.ctx)
	return kafka.Bounds{Most: most, Grow: func(n int64) error {
		if !i.Try(n) {
			return errNoRoom
		}
		r.bytes -= n
		return nil
	}}, i.Done
}
