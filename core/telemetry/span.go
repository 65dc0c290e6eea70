package telemetry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// scope names the gateway as what makes spans and metrics.
const scope = "github.com/sluice-gateway/sluice"

// Facts are what a span tells of its subject. They are asked for when the span is exported, long
// after it has ended.
type Facts interface {
	AppendAttributes(dst []attribute.KeyValue) []attribute.KeyValue
}

// span is a span of a request. Those of the SDK are made to be changed for as long as they last,
// and cost a request that is one of few several times what they cost in a loop. This one is written
// once, and what exporters ask for is made when they ask, of many at a time.
type span struct {
	embedded.Span
	sdk.ReadOnlySpan // of which it has all methods; no other type can be one

	tracer     *Tracer
	trace      trace.TraceID
	id, parent trace.SpanID
	kind       trace.SpanKind
	name       string
	began      int64 // in unix nanoseconds, like ended
	facts      Facts // nil: none

	mu      sync.Mutex
	ended   int64 // 0: not yet
	status  sdk.Status
	attrs   []attribute.KeyValue
	events  []sdk.Event
	links   []sdk.Link
	dropped struct{ attrs, events, links int32 } // past the limits
	over    struct{ attrs, events int }          // the same, of what is made for exporters
}

// span begins one; a parent that is not valid makes it the first of a trace.
func (t *Tracer) span(name string, kind trace.SpanKind, began int64, parent trace.SpanContext) *span {
	s := &span{tracer: t, name: name, kind: kind, began: began, trace: parent.TraceID(), parent: parent.SpanID()}
	for !s.trace.IsValid() {
		fill(s.trace[:])
	}
	for !s.id.IsValid() {
		fill(s.id[:])
	}
	return s
}

// fill draws random bytes, a multiple of 8.
func fill(id []byte) {
	for ; len(id) > 0; id = id[8:] {
		for i, r := 0, rand.Uint64(); i < 8; i, r = i+1, r>>8 {
			id[i] = byte(r)
		}
	}
}

// Child begins a span below the one of ctx. It costs nothing if ctx has none that is recorded.
// attrs must not be changed.
func Child(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, parent
	}
	p, ok := parent.(*span)
	if !ok { // of an interceptor that uses the SDK
		return parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(attrs...))
	}
	s := p.tracer.span(name, trace.SpanKindInternal, time.Now().UnixNano(), p.SpanContext())
	s.attrs = attrs[:len(attrs):len(attrs)]
	return trace.ContextWithSpan(ctx, s), s
}

// Past is a span below the one of ctx of what began at a time and ends now. attrs must not be
// changed.
func Past(ctx context.Context, name string, began time.Time, err error, attrs ...attribute.KeyValue) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	p, ok := parent.(*span)
	if !ok {
		_, s := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(attrs...), trace.WithTimestamp(began))
		End(s, err)
		return
	}
	s := p.tracer.span(name, trace.SpanKindInternal, began.UnixNano(), p.SpanContext())
	s.attrs = attrs[:len(attrs):len(attrs)]
	End(s, err)
}

// End ends a span of Child with the outcome of its work.
func End(s trace.Span, err error) {
	if s.IsRecording() {
		fail(s, err)
		s.End()
	}
}

func fail(s trace.Span, err error) {
	if err != nil {
		s.RecordError(err)
		FailAs(s, KindOf(err), err.Error())
	}
}

// FailAs makes a span one that failed, and says how.
func FailAs(s trace.Span, kind, text string) {
	s.SetAttributes(ErrorType.String(kind))
	s.SetStatus(codes.Error, text)
}

// edit changes a span that has not ended.
func (s *span) edit(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == 0 {
		change()
	}
}

// add appends as many as the limit, which is none if negative, leaves room for.
func add[T any](list *[]T, dropped *int32, limit int, more ...T) {
	if limit >= 0 && len(*list)+len(more) > limit {
		left := max(limit-len(*list), 0)
		*dropped += int32(len(more) - left)
		more = more[:left]
	}
	*list = append(*list, more...)
}

func (s *span) finish(at int64) {
	s.mu.Lock()
	again := s.ended != 0
	if !again {
		s.ended = at
	}
	s.mu.Unlock()
	if !again {
		s.tracer.batches.OnEnd(s)
	}
}

// These are for trace.Span.

func (s *span) End(o ...trace.SpanEndOption) {
	at := time.Now()
	if len(o) > 0 {
		if c := trace.NewSpanEndConfig(o...); !c.Timestamp().IsZero() {
			at = c.Timestamp()
		}
	}
	s.finish(at.UnixNano())
}

func (s *span) AddEvent(name string, o ...trace.EventOption) {
	c := trace.NewEventConfig(o...)
	s.edit(func() {
		add(&s.events, &s.dropped.events, s.tracer.limits.EventCountLimit, sdk.Event{Name: name, Time: c.Timestamp(), Attributes: c.Attributes()})
	})
}

func (s *span) AddLink(l trace.Link) {
	s.edit(func() {
		add(&s.links, &s.dropped.links, s.tracer.limits.LinkCountLimit, sdk.Link{SpanContext: l.SpanContext, Attributes: l.Attributes})
	})
}

func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended == 0
}

// RecordError adds the event of the semantic conventions.
func (s *span) RecordError(err error, o ...trace.EventOption) {
	if err != nil {
		s.AddEvent("exception", append(o, trace.WithAttributes(ExceptionType.String(fmt.Sprintf("%T", err)), ExceptionMessage.String(err.Error())))...)
	}
}

func (s *span) SpanContext() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.trace, SpanID: s.id, TraceFlags: trace.FlagsSampled})
}

func (s *span) SetStatus(code codes.Code, description string) {
	s.edit(func() {
		switch {
		case s.status.Code > code: // OK is the last word, and an error more than nothing
		case code == codes.Error:
			s.status = sdk.Status{Code: code, Description: description}
		default:
			s.status = sdk.Status{Code: code}
		}
	})
}

func (s *span) SetName(name string) { s.edit(func() { s.name = name }) }

func (s *span) SetAttributes(attrs ...attribute.KeyValue) {
	s.edit(func() { add(&s.attrs, &s.dropped.attrs, s.tracer.limits.AttributeCountLimit, attrs...) })
}

func (s *span) TracerProvider() trace.TracerProvider { return s.tracer.provider }

// These are for sdk.ReadOnlySpan. Exporters call them after the end, when nothing changes any more.

func (s *span) Name() string             { return s.name }
func (s *span) SpanKind() trace.SpanKind { return s.kind }
func (s *span) StartTime() time.Time     { return time.Unix(0, s.began) }
func (s *span) EndTime() time.Time       { return time.Unix(0, s.ended) }
func (s *span) Status() sdk.Status       { return s.status }
func (s *span) Links() []sdk.Link        { return s.links }
func (s *span) DroppedLinks() int        { return int(s.dropped.links) }

// DroppedAttributes and DroppedEvents are known when the others were asked for.
func (s *span) DroppedAttributes() int { return int(s.dropped.attrs) + s.over.attrs }
func (s *span) DroppedEvents() int     { return int(s.dropped.events) + s.over.events }

// ChildSpanCount is not counted; OTLP has no place for it.
func (s *span) ChildSpanCount() int { return 0 }

func (s *span) Resource() *resource.Resource { return s.tracer.resource }
func (s *span) InstrumentationScope() instrumentation.Scope {
	return s.tracer.scope
}

func (s *span) InstrumentationLibrary() instrumentation.Library { //nolint:staticcheck // the interface has it
	return s.InstrumentationScope()
}

func (s *span) Parent() trace.SpanContext {
	if !s.parent.IsValid() {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.trace, SpanID: s.parent, TraceFlags: trace.FlagsSampled})
}

// Attributes are those of the facts and those that were set; of several with one key, the last.
func (s *span) Attributes() []attribute.KeyValue { return s.appendAttributes(nil) }

func (s *span) appendAttributes(out []attribute.KeyValue) []attribute.KeyValue {
	if s.facts != nil {
		out = s.facts.AppendAttributes(out)
	}
	facts := len(out) // of which each has a key of its own
	out = lastOfEach(append(out, s.attrs...), facts)
	if s.status.Code == codes.Error && !slices.ContainsFunc(out, func(kv attribute.KeyValue) bool { return kv.Key == ErrorType }) {
		out = append(out, ErrorType.String(otherError)) // of who said no more
	}
	out, s.over.attrs = first(out, s.tracer.limits.AttributeCountLimit)
	return cut(out, s.tracer.limits.AttributeValueLengthLimit)
}

func (s *span) Events() []sdk.Event {
	events := s.events
	if t, ok := s.facts.(*Trip); ok {
		events = append(t.events(), events...)
	}
	events, s.over.events = first(events, s.tracer.limits.EventCountLimit)
	if n := s.tracer.limits.AttributeValueLengthLimit; n >= 0 {
		for i := range events {
			events[i].Attributes = cut(events[i].Attributes, n)
		}
	}
	return events
}

// first is as much of a list as the limit, which is none if negative, has room for, and how many
// are left out.
func first[T any](list []T, limit int) ([]T, int) {
	if limit < 0 || len(list) <= limit {
		return list, 0
	}
	return list[:limit], len(list) - limit
}

// lastOfEach removes attributes that come again, in place; those before a place don't.
func lastOfEach(attrs []attribute.KeyValue, before int) []attribute.KeyValue {
	out := attrs[:before]
next:
	for _, kv := range attrs[before:] {
		for i := range out {
			if out[i].Key == kv.Key {
				out[i] = kv
				continue next
			}
		}
		out = append(out, kv)
	}
	return out
}

// cut shortens values to so many characters, if n is not negative.
func cut(attrs []attribute.KeyValue, n int) []attribute.KeyValue {
	if n < 0 {
		return attrs
	}
	short := func(s string) string {
		chars := 0
		for i := range s {
			if chars++; chars > n {
				return s[:i]
			}
		}
		return s
	}
	out := make([]attribute.KeyValue, 0, len(attrs))
	for _, kv := range attrs {
		switch kv.Value.Type() {
		case attribute.STRING:
			kv = kv.Key.String(short(kv.Value.AsString()))
		case attribute.STRINGSLICE:
			list := kv.Value.AsStringSlice()
			for i := range list {
				list[i] = short(list[i])
			}
			kv = kv.Key.StringSlice(list)
		default:
		}
		out = append(out, kv)
	}
	return out
}
