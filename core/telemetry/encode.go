package telemetry

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Values of enumerations in trace.proto.
const (
	statusOK, statusError = 1, 2

	knowsRemote, isRemote = uint32(0x100), uint32(0x200)
)

// encoder writes spans as they travel in OTLP. The SDK makes a message of each span, event,
// attribute and value, and then the encoding of those, which costs a sampled request as much as
// everything else. An encoder is used again for the next batch. The field numbers are those of
// opentelemetry/proto/trace/v1/trace.proto.
type encoder struct {
	out   []byte
	attrs []attribute.KeyValue
}

// encode writes the ResourceSpans of spans that have one resource. It lasts until the next.
func (e *encoder) encode(spans []sdk.ReadOnlySpan) []byte {
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
	return e.out
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
		code := uint64(statusOK)
		if st.Code == codes.Error {
			code = statusError
		}
		e.message(15, func() {
			e.text(2, st.Description)
			e.number(3, code)
		})
	}
	e.flags(16, c, parent)
}

// flags are those of a span, and whether its parent is known to be elsewhere.
func (e *encoder) flags(field uint64, of, parent trace.SpanContext) {
	flags := uint32(of.TraceFlags()) | knowsRemote
	if parent.IsRemote() {
		flags |= isRemote
	}
	e.tag(field, fixed32)
	e.out = binary.LittleEndian.AppendUint32(e.out, flags)
}

func (e *encoder) attributes(field uint64, attrs []attribute.KeyValue) {
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
		e.bytes(7, v.AsByteSlice())
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
	var n uint64
	if v {
		n = 1
	}
	e.varint(2, n)
}

func (e *encoder) int(v int64) {
	e.varint(3, uint64(v))
}

func (e *encoder) float(v float64) {
	e.fixed(4, math.Float64bits(v))
}

// message writes a message as a field of another. Its length, which comes first, mostly takes one
// byte.
func (e *encoder) message(field uint64, write func()) {
	e.tag(field, lengthFirst)
	e.out = append(e.out, 0)
	begin := len(e.out)
	write()
	n := len(e.out) - begin
	if n < 1<<7 {
		e.out[begin-1] = byte(n)
		return
	}
	var length [binary.MaxVarintLen64]byte
	e.out = slices.Replace(e.out, begin-1, begin, binary.AppendUvarint(length[:0], uint64(n))...)
}

func (e *encoder) bytes(field uint64, v []byte) {
	e.tag(field, lengthFirst)
	e.out = append(binary.AppendUvarint(e.out, uint64(len(v))), v...)
}

// some writes a text that counts also if it is empty. Receivers refuse a whole batch for one text
// that is not UTF-8, as what a client calls itself may be.
func (e *encoder) some(field uint64, v string) {
	v = strings.ToValidUTF8(v, "\uFFFD")
	e.tag(field, lengthFirst)
	e.out = append(binary.AppendUvarint(e.out, uint64(len(v))), v...)
}

func (e *encoder) text(field uint64, v string) {
	if v != "" {
		e.some(field, v)
	}
}

func (e *encoder) number(field uint64, v uint64) {
	if v != 0 {
		e.varint(field, v)
	}
}

func (e *encoder) time(field uint64, t time.Time) {
	e.fixed(field, uint64(max(t.UnixNano(), 0)))
}

// What a field's tag says of how its value is written.
const (
	varint      = 0
	fixed64     = 1
	lengthFirst = 2
	fixed32     = 5
)

func (e *encoder) tag(field, kind uint64) {
	e.out = binary.AppendUvarint(e.out, field<<3|kind)
}

func (e *encoder) varint(field, v uint64) {
	e.tag(field, varint)
	e.out = binary.AppendUvarint(e.out, v)
}

func (e *encoder) fixed(field, v uint64) {
	e.tag(field, fixed64)
	e.out = binary.LittleEndian.AppendUint64(e.out, v)
}
