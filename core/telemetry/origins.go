package telemetry

import (
	"bytes"
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context. Others, such as b3, are not read.
const (
	Traceparent = "traceparent"
	Tracestate  = "tracestate"
)

// longestHeader bounds what is parsed. A traceparent has 55 bytes; a tracestate of up to 512 must
// be passed on.
const longestHeader = 512

// Origins are where records come from: the different contexts that they carry, the first of them as
// links.
type Origins struct {
	// Unread is how many records were not looked into.
	Unread int64

	links   []trace.Link
	leftOut int // past most
	sampled bool
	last    []byte // traceparent that was added last
	known   map[[24]byte]struct{}
}

// Record is where a record stands: an Offset below 0 is not known.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Add adds what a record carries: the values of its headers, nil for none. A value that is
// no context is left out.
func (o *Origins) Add(traceparent, tracestate []byte, at Record) {
	if len(traceparent) > longestHeader || bytes.Equal(traceparent, o.last) {
		return
	}
	if len(tracestate) > longestHeader {
		tracestate = nil
	}
	o.last = traceparent
	c := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier{traceparent, tracestate}))
	if !c.IsValid() {
		return
	}
	var key [24]byte
	tid, id := c.TraceID(), c.SpanID()
	copy(key[copy(key[:], tid[:]):], id[:])
	if _, known := o.known[key]; known {
		return
	}
	if o.known == nil {
		o.known = map[[24]byte]struct{}{}
	}
	o.known[key] = struct{}{}
	o.sampled = o.sampled || c.IsSampled()
	if len(o.links) == most {
		o.leftOut++
		return
	}
	o.links = append(o.links, trace.Link{SpanContext: c, Attributes: at.attributes()})
}

// Sampled reports that a producer has sampled one of the records.
func (o *Origins) Sampled() bool { return o != nil && o.sampled }

// Links are the first different contexts, and how many more there are.
func (o *Origins) Links() (links []trace.Link, leftOut int) { return o.links, o.leftOut }

// decision is whether producers have sampled the records; decided is false if they have not said.
func (o *Origins) decision() (sampled, decided bool) {
	return o.Sampled(), o != nil && len(o.links) > 0
}

func (r Record) attributes() (attrs []attribute.KeyValue) {
	if r.Topic != "" {
		attrs = append(attrs, Destination.String(r.Topic))
	}
	attrs = append(attrs, Partition.String(strconv.Itoa(int(r.Partition))))
	if r.Offset >= 0 {
		attrs = append(attrs, Offset.Int64(r.Offset))
	}
	return attrs
}

// carrier are the headers of a record.
type carrier struct{ traceparent, tracestate []byte }

// Get is for propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	switch key {
	case Traceparent:
		return string(c.traceparent)
	case Tracestate:
		return string(c.tracestate)
	}
	return ""
}

// Set is for propagation.TextMapCarrier.
func (carrier) Set(string, string) {}

// Keys is for propagation.TextMapCarrier.
func (carrier) Keys() []string { return nil }
