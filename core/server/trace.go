package server

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

const (
	mostTopics = 10 // named in a span
	// mostLinks bounds the links of a produce, mostRecords the records that are looked at for them.
	mostLinks   = 32
	mostRecords = 128
)

// room is the memory of a request that interceptors may keep.
type room struct {
	req   plugin.Request
	body  kafka.RequestBody
	clock plugin.Clock
}

// newRoom makes room for a request, and for its trace if there may be one: together, so that to watch a request costs no
// allocation.
func newRoom(traced bool) *room {
	if !traced {
		return &room{}
	}
	r := &struct {
		room
		trace telemetry.Trace
	}{}
	r.req.Trace = &r.trace
	return &r.room
}

// trace begins the trace of a request in the room that its Trace is, or makes it nil. Of a request that the access log will show
// it notes at least who was asked.
func (s *session) trace(rt *Runtime, req *plugin.Request, sl *slot) context.Context {
	room := req.Trace
	if room == nil {
		return s.ctx
	}
	ctx, t := rt.Tracer.Request(s.ctx, kmsg.NameForKey(int16(req.Key)), req.Arrived, room)
	if sl.logged {
		t = room
		t.Keep()
	}
	req.Trace = t
	return ctx
}

// contexts are the contexts that the first records of a produce carry in their headers (W3C traceparent).
func contexts(b *kafka.RequestBody) (out []trace.SpanContext) {
	seen := 0
	for _, records := range recordSets(b) {
		for _, batch := range kafka.Batches(records) {
			records, err := kafka.Records(batch)
			if err != nil {
				continue
			}
			for _, r := range records {
				if seen++; seen > mostRecords || len(out) == mostLinks {
					return out
				}
				if c := contextOf(r); c.IsValid() {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// recordSets are the records of each partition of a produce.
func recordSets(b *kafka.RequestBody) (out [][]byte) {
	if h := b.Hot(); h != nil {
		for i := range h.Partitions {
			out = append(out, h.Partitions[i].Records)
		}
	} else if p, err := b.Produce(); err == nil {
		for _, t := range p.Topics {
			for _, part := range t.Partitions {
				out = append(out, part.Records)
			}
		}
	}
	return out
}

// carrier reads a record's headers.
type carrier []kmsg.Header

func contextOf(r kafka.Record) trace.SpanContext {
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(r.Headers)))
}

func (c carrier) Get(key string) string {
	for _, h := range c {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
func (carrier) Set(string, string) {}
func (carrier) Keys() []string     { return nil }

// facts is what a request's trace and its line in the access log tell of it.
type facts struct {
	code            int16
	in, out         int // bytes
	topics          []string
	group, software string
}

func (s *session) facts(req *plugin.Request, sl *slot, resp *plugin.Response, code int16) *facts {
	f := &facts{code: code, in: sl.size}
	f.topics, f.group = req.Body.Subjects(mostTopics, sl.rt.TopicName)
	if resp != nil {
		f.out = resp.Body.Size()
	}
	if software := s.shared.Software.Load(); software != nil {
		f.software = *software
	}
	return f
}

// told sends the trace of a request, and prepares its line of the access log, if there are to be any. It is called
// before the answer is queued: from then on the memory of both may be used again.
func (s *session) told(req *plugin.Request, sl *slot, resp *plugin.Response, err error) {
	t, a := req.Trace, sl.rt.Access
	if t == nil && a == nil {
		return
	}
	if t == nil && !sl.logged && !a.errors {
		return
	}
	var code int16
	if resp != nil {
		code = resp.Body.ErrorCode()
	}
	left := s.ctx.Err() != nil || errors.Is(err, plugin.ErrClientGone)
	failed := code != 0 || (err != nil && !left)
	traced, logged := t.Wanted(failed, patience(req)), a.wants(sl.logged, failed)
	if !traced && !logged {
		return
	}
	f := s.facts(req, sl, resp, code)
	if logged {
		sl.line = s.line(req, f, err)
	}
	if traced {
		if req.Key == kmsg.Produce {
			t.Linked(contexts(req.Body)) // only now: others wait until this one is queued
		}
		t.End(err, kafka.ErrorName(code), s.attributes(req, f, resp != nil))
	}
}

func (s *session) attributes(req *plugin.Request, f *facts, answered bool) []attribute.KeyValue {
	attrs := append(append(make([]attribute.KeyValue, 0, 20), telemetry.Peer(s.conn.RemoteAddr())...),
		telemetry.ClientID.String(req.ClientID), telemetry.VirtualCluster.String(s.shared.VirtualCluster), telemetry.APIKey.Int(int(req.Key)),
		telemetry.APIVersion.Int(int(req.Version)), telemetry.RequestSize.Int(f.in), telemetry.ErrorCode.Int(int(f.code)))
	if kind := operation(req.Key); kind != "" {
		attrs = append(attrs, telemetry.OperationType.String(kind))
	}
	if answered {
		attrs = append(attrs, telemetry.ResponseSize.Int(f.out))
	}
	if f.software != "" {
		attrs = append(attrs, telemetry.Software.String(f.software))
	}
	if f.group != "" {
		attrs = append(attrs, telemetry.ConsumerGroup.String(f.group))
	}
	return append(attrs, destination(req.Body, f.topics)...)
}

// destination names the topics of a request, and the partition of one that has a single one.
func destination(b *kafka.RequestBody, topics []string) (out []attribute.KeyValue) {
	if len(topics) > 0 {
		out = append(out, telemetry.Topics.StringSlice(topics))
	}
	if len(topics) == 1 {
		out = append(out, telemetry.Destination.String(topics[0]))
		if h := b.Hot(); h != nil && len(h.Partitions) == 1 {
			out = append(out, telemetry.Partition.Int(int(h.Partitions[0].Partition)))
		}
	}
	return out
}

// operation is the kind of an API in the semantic conventions.
func operation(key kmsg.Key) string {
	switch key {
	case kmsg.Produce:
		return "send"
	case kmsg.Fetch, kmsg.ShareFetch:
		return "receive"
	case kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.ShareAcknowledge:
		return "settle"
	}
	return ""
}

// patience is how long a request may wait at its broker without being slow; negative: for as long as it likes.
func patience(req *plugin.Request) time.Duration {
	switch req.Key {
	case kmsg.JoinGroup, kmsg.SyncGroup:
		return -1
	case kmsg.Fetch:
		if h := req.Body.Hot(); h != nil {
			return time.Duration(h.MaxWaitMillis) * time.Millisecond
		}
		if f, err := req.Body.Fetch(); err == nil {
			return time.Duration(f.MaxWaitMillis) * time.Millisecond
		}
	}
	return 0
}
