package telemetry

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	sampled    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	notSampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00"
)

// TestProducersDecide where the sampler is parent-based: about their own records, and the ratio
// about others.
func TestProducersDecide(t *testing.T) {
	for name, c := range map[string]struct {
		ratio float64
		from  *Origins
		want  bool
	}{
		"sampled":               {0, origins(sampled), true},
		"not sampled":           {1, origins(notSampled), false},
		"one of several":        {0, origins(notSampled, sampled), true},
		"no context":            {1, origins("none"), true},
		"no context, ratio 0":   {0, origins(), false},
		"nobody knows":          {1, nil, true},
		"nobody knows, ratio 0": {0, nil, false},
	} {
		tracer := tracing(t, Config{SampleRatio: c.ratio, ParentBased: true})
		_, r := tracer.Request(t.Context(), kmsg.Produce, time.Now(), &Trace{}, c.from)
		if r.Sampled() != c.want || r == nil {
			t.Errorf("%s: sampled: %t, watched: %t", name, r.Sampled(), r != nil)
		}
	}
}

// TestLinksAreCounted: what is past the bound of a request, or of a span, counts as dropped, and
// what was not looked into is told.
func TestLinksAreCounted(t *testing.T) {
	t.Setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "3")
	tracer := tracing(t, Config{SampleRatio: 1})
	_, r := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
	from := origins(sampled, notSampled, sampled)
	for i := range byte(most + 5) {
		c := contextOf(i+1, false)
		from.Add([]byte("00-"+c.TraceID().String()+"-"+c.SpanID().String()+"-01"), nil, Record{Offset: int64(i)})
	}
	from.Unread = 9
	r.Linked(from)
	r.End(kmsg.Fetch, &Subject{Topic: "a"}, nil, "", nil)
	wantSpans(t, tracer, map[string]string{"poll a": ", server: sluice.records.unread=9; 3 links; dropped 0, 0, 104"})
}

// TestStatesGoAlong with links, unless they are longer than a state should be.
func TestStatesGoAlong(t *testing.T) {
	o := &Origins{}
	o.Add([]byte(sampled), []byte("vendor=a"), Record{})
	o.Add([]byte(notSampled), make([]byte, longestHeader+1), Record{})
	links, _ := o.Links()
	if links[0].SpanContext.TraceState().String() != "vendor=a" || links[1].SpanContext.TraceState().Len() != 0 {
		t.Errorf("%v", links)
	}
}
