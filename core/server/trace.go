package server

import (
	"context"
	"errors"
	"net"
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
	r := &tracedRoom{}
	r.req.Trace = &r.trace
	return &r.room
}

// tracedRoom is not larger than 512 bytes, up to which memory with pointers costs less.
type tracedRoom struct {
	room
	trace telemetry.Trace
}

// trace begins the trace of a request in the room that its Trace is, or makes it nil. Of a request that the access log will show
// it notes at least who was asked.
func (s *session) trace(rt *Runtime, req *plugin.Request, sl *slot) context.Context {
	room := req.Trace
	if room == nil {
		return s.ctx
	}
	ctx, t := rt.Tracer.Request(s.ctx, req.Key, req.Arrived, room)
	if sl.logged {
		t = room
		t.Keep(req.Arrived)
	}
	req.Trace = t
	return ctx
}

// contexts are the contexts that the first records of a produce carry in their headers (W3C traceparent).
func (s *session) contexts(b *kafka.RequestBody) (out []trace.SpanContext) {
	within, done := s.shared.Decode()
	defer done()
	seen := 0
	for _, records := range recordSets(b) {
		for _, batch := range kafka.Batches(records) {
			records, err := within.Records(batch)
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

// facts is what a request's trace and its line in the access log tell of it, kept apart from the request, whose memory is used again.
type facts struct {
	kafka.Header
	peer            net.Addr
	virtualCluster  string
	code            int16
	in, out         int // bytes; -1 out: no answer
	topics          []string
	partition       int32 // of the only one of a produce or fetch; -1: there are others, or none
	group, software string
}

func (s *session) facts(req *plugin.Request, sl *slot, resp *plugin.Response, code int16) *facts {
	f := &facts{Header: req.Header, peer: s.conn.RemoteAddr(), virtualCluster: s.shared.VirtualCluster, code: code, in: sl.size, out: -1, partition: -1}
	f.topics, f.group = req.Body.Subjects(mostTopics, sl.rt.TopicName)
	if h := req.Body.Hot(); h != nil && len(h.Partitions) == 1 {
		f.partition = h.Partitions[0].Partition
	}
	if resp != nil && !req.Unanswered() {
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
	failed := code != 0 && !kafka.Ordinary(req.Key, code) || err != nil && !left
	traced, logged := t.Wanted(failed, req.Arrived, patience(req)), a.wants(sl.logged, failed)
	if !traced && !logged {
		return
	}
	f := s.facts(req, sl, resp, code)
	if logged {
		sl.line = s.line(req, f, err)
	}
	if traced {
		if req.Key == kmsg.Produce {
			t.Linked(s.contexts(req.Body)) // only now: others wait until this one is queued
		}
		t.End(req.Key, err, errorName(req.Key, code), f)
	}
}

// errorName names the code of an answer that says an error.
func errorName(key kmsg.Key, code int16) string {
	if kafka.Ordinary(key, code) {
		return ""
	}
	return kafka.ErrorName(code)
}

// AppendAttributes is for telemetry.Facts.
func (f *facts) AppendAttributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	name := kmsg.NameForKey(int16(f.Key))
	attrs = append(telemetry.AppendPeer(attrs, f.peer), telemetry.System.String("kafka"), telemetry.Operation.String(name), telemetry.Transport.String("tcp"),
		telemetry.ClientID.String(f.ClientID), telemetry.VirtualCluster.String(f.virtualCluster), telemetry.APIKey.Int(int(f.Key)),
		telemetry.APIVersion.Int(int(f.Version)), telemetry.RequestSize.Int(f.in), telemetry.ErrorCode.Int(int(f.code)))
	if kind := operation(f.Key); kind != "" {
		attrs = append(attrs, telemetry.OperationType.String(kind))
	}
	if f.out >= 0 {
		attrs = append(attrs, telemetry.ResponseSize.Int(f.out))
	}
	if f.software != "" {
		attrs = append(attrs, telemetry.Software.String(f.software))
	}
	if f.group != "" {
		attrs = append(attrs, telemetry.ConsumerGroup.String(f.group))
	}
	if len(f.topics) > 0 {
		attrs = append(attrs, telemetry.Topics.StringSlice(f.topics))
	}
	if len(f.topics) == 1 {
		attrs = append(attrs, telemetry.Destination.String(f.topics[0]))
		if f.partition >= 0 {
			attrs = append(attrs, telemetry.Partition.Int(int(f.partition)))
		}
	}
	return attrs
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
	case kmsg.ShareFetch:
		if msg, err := req.Body.Peek(); err == nil {
			return time.Duration(msg.(*kmsg.ShareFetchRequest).MaxWaitMillis) * time.Millisecond
		}
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
