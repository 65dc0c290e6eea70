package telemetry

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// encoder writes spans as they travel in OTLP. The SDK makes a message of each span, event, attribute and value, and then the encoding
// of those, which costs a sampled request as much as everything else. An encoder is used again for the next batch. The field numbers
// are those of opentelemetry/proto/trace/v1/trace.proto.
type encoder struct {
	out   []byte
	attrs []attribute.KeyValue
}

// encode makes the message of spans that have one resource. What is in it is encoded already, so that the message holds it as fields
// that it does not know, which it passes on as they are. It lasts until the next.
func (e *encoder) encode(spans []sdk.ReadOnlySpan) *otlp.ResourceSpans {
	e.out = e.out[:0]
	schema := spans[0].Resource().SchemaURL()
	e.message(1, func() { e.attributes(1, spans[0].Resource().Attributes()) })
	for spans = slices.Clone(spans); len(spans) > 0; {
		of := spans[0].InstrumentationScope()
		e.message(2, func() {
			if of != (instrumentation.Scope{}) {
				e.message(1, func() { e.scope(of) })
			}
			others := spans[:0]
			for _, s := range spans {
				if s.InstrumentationScope() != of {
					others = append(others, s)
					continue
				}
				e.message(2, func() { e.span(s) })
			}
			spans = others
			e.text(3, of.SchemaURL)
		})
	}
	e.text(3, schema)
	m := &otlp.ResourceSpans{}
	m.ProtoReflect().SetUnknown(e.out)
	return m
}

func (e *encoder) scope(s instrumentation.Scope) {
	e.text(1, s.Name)
	e.text(2, s.Version)
	e.attributes(3, s.Attributes.ToSlice())
}

func (e *encoder) span(s sdk.ReadOnlySpan) {
	c, parent := s.SpanContext(), s.Parent()
	tid, id := c.TraceID(), c.SpanID()
	e.bytes(1, tid[:])
	e.bytes(2, id[:])
	e.text(3, c.TraceState().String())
	if id := parent.SpanID(); id.IsValid() {
		e.bytes(4, id[:])
	}
	e.text(5, s.Name())
	e.number(6, uint64(s.SpanKind())) // which are numbered alike
	e.time(7, s.StartTime())
	e.time(8, s.EndTime())
	if own, ok := s.(*span); ok {
		e.attrs = own.appendAttributes(e.attrs[:0])
		e.attributes(9, e.attrs)
	} else {
		e.attributes(9, s.Attributes())
	}
	e.number(10, uint64(s.DroppedAttributes()))
	for _, v := range s.Events() {
		e.message(11, func() {
			e.time(1, v.Time)
			e.text(2, v.Name)
			e.attributes(3, v.Attributes)
			e.number(4, uint64(v.DroppedAttributeCount))
		})
	}
	e.number(12, uint64(s.DroppedEvents()))
	for _, l := range s.Links() {
		e.message(13, func() {
			tid, id := l.SpanContext.TraceID(), l.SpanContext.SpanID()
			e.bytes(1, tid[:])
			e.bytes(2, id[:])
			e.text(3, l.SpanContext.TraceState().String()) // which the SDK leaves out
			e.attributes(4, l.Attributes)
			e.number(5, uint64(l.DroppedAttributeCount))
			e.flags(6, l.SpanContext, l.SpanContext)
		})
	}
	e.number(14, uint64(s.DroppedLinks()))
	if st := s.Status(); st.Code != codes.Unset {
		code := otlp.Status_STATUS_CODE_OK
		if st.Code == codes.Error {
			code = otlp.Status_STATUS_CODE_ERROR
		}
		e.message(15, func() {
			e.text(2, st.Description)
			e.number(3, uint64(code))
		})
	}
	e.flags(16, c, parent)
}

// flags are those of a span, and whether its parent is known to be elsewhere.
func (e *encoder) flags(field protowire.Number, of, parent trace.SpanContext) {
	flags := uint32(of.TraceFlags()) | uint32(otlp.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if parent.IsRemote() {
		flags |= uint32(otlp.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	e.out = protowire.AppendFixed32(protowire.AppendTag(e.out, field, protowire.Fixed32Type), flags)
}

func (e *encoder) attributes(field protowire.Number, attrs []attribute.KeyValue) {
	for _, kv := range attrs {
		e.message(field, func() {
			e.text(1, string(kv.Key))
			e.message(2, func() { e.value(kv.Value) })
		})
	}
}

// value writes an AnyValue.
func (e *encoder) value(v attribute.Value) {
	switch v.Type() {
	case attribute.STRING:
		e.some(1, v.AsString())
	case attribute.BOOL:
		e.bool(v.AsBool())
	case attribute.INT64:
		e.int(v.AsInt64())
	case attribute.FLOAT64:
		e.float(v.AsFloat64())
	case attribute.STRINGSLICE:
		array(e, v.AsStringSlice(), func(s string) { e.some(1, s) })
	case attribute.BOOLSLICE:
		array(e, v.AsBoolSlice(), e.bool)
	case attribute.INT64SLICE:
		array(e, v.AsInt64Slice(), e.int)
	case attribute.FLOAT64SLICE:
		array(e, v.AsFloat64Slice(), e.float)
	case attribute.BYTESLICE:
		e.out = protowire.AppendBytes(protowire.AppendTag(e.out, 7, protowire.BytesType), v.AsByteSlice())
	case attribute.SLICE:
		array(e, v.AsSlice(), e.value)
	case attribute.MAP:
		e.message(6, func() { e.attributes(1, v.AsMap()) })
	case attribute.EMPTY:
	}
}

func array[T any](e *encoder, list []T, write func(T)) {
	e.message(5, func() {
		for _, v := range list {
			e.message(1, func() { write(v) })
		}
	})
}

func (e *encoder) bool(v bool) {
	e.out = protowire.AppendVarint(protowire.AppendTag(e.out, 2, protowire.VarintType), protowire.EncodeBool(v))
}

func (e *encoder) int(v int64) {
	e.out = protowire.AppendVarint(protowire.AppendTag(e.out, 3, protowire.VarintType), uint64(v))
}

func (e *encoder) float(v float64) {
	e.out = protowire.AppendFixed64(protowire.AppendTag(e.out, 4, protowire.Fixed64Type), math.Float64bits(v))
}

// message writes a message as a field of another. Its length, which comes first, mostly takes one byte.
func (e *encoder) message(field protowire.Number, write func()) {
	e.out = append(protowire.AppendTag(e.out, field, protowire.BytesType), 0)
	begin := len(e.out)
	write()
	n := len(e.out) - begin
	if n < 1<<7 {
		e.out[begin-1] = byte(n)
		return
	}
	var length [10]byte
	e.out = slices.Replace(e.out, begin-1, begin, protowire.AppendVarint(length[:0], uint64(n))...)
}

func (e *encoder) bytes(field protowire.Number, v []byte) {
	e.out = protowire.AppendBytes(protowire.AppendTag(e.out, field, protowire.BytesType), v)
}

// some writes a text that counts also if it is empty. Receivers refuse a whole batch for one text that is not UTF-8, as what a client
// calls itself may be.
func (e *encoder) some(field protowire.Number, v string) {
	v = strings.ToValidUTF8(v, "\uFFFD")
	e.out = protowire.AppendString(protowire.AppendTag(e.out, field, protowire.BytesType), v)
}

func (e *encoder) text(field protowire.Number, v string) {
	if v != "" {
		e.some(field, v)
	}
}

func (e *encoder) number(field protowire.Number, v uint64) {
	if v != 0 {
		e.out = protowire.AppendVarint(protowire.AppendTag(e.out, field, protowire.VarintType), v)
	}
}

func (e *encoder) time(field protowire.Number, t time.Time) {
	e.out = protowire.AppendFixed64(protowire.AppendTag(e.out, field, protowire.Fixed64Type), uint64(max(t.UnixNano(), 0)))
}
