// Package spans reads what the OpenTelemetry Collector's file exporter writes (OTLP in JSON, a
// batch per line), and shows a trace as text.
package spans

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Kinds of spans, as OTLP counts them.
const (
	Internal = 1
	Server   = 2
	Client   = 3
)

// Failed is the status of a span that stands for a failure.
const Failed = 2

// Span is a span of OTLP.
type Span struct {
	Place
	Parent     string     `json:"parentSpanId"` // "" at the root of its trace
	Name       string     `json:"name"`
	Kind       int        `json:"kind"`
	Start      Time       `json:"startTimeUnixNano"`
	End        Time       `json:"endTimeUnixNano"`
	Attributes Attributes `json:"attributes"`
	Events     []Event    `json:"events"`
	Links      []Place    `json:"links"`
	Status     struct {
		Code int `json:"code"`
	} `json:"status"`
	Resource Attributes `json:"-"`
}

// Place names a span by hexadecimal ids.
type Place struct {
	Trace string `json:"traceId"`
	ID    string `json:"spanId"`
}

// Event is something that happened while a span lasted.
type Event struct {
	At         Time       `json:"timeUnixNano"`
	Name       string     `json:"name"`
	Attributes Attributes `json:"attributes"`
}

// Time is one of OTLP's JSON, which writes 64-bit numbers as strings.
type Time struct{ time.Time }

// UnmarshalJSON reads nanoseconds since 1970.
func (t *Time) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	t.Time = time.Unix(0, n)
	return err
}

// Attributes are values as text; those of an array are joined by commas.
type Attributes map[string]string

// UnmarshalJSON reads OTLP's list of keys and values.
func (a *Attributes) UnmarshalJSON(b []byte) error {
	var list []struct {
		Key   string
		Value value
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*a = Attributes{}
	for _, e := range list {
		(*a)[e.Key] = e.Value.String()
	}
	return nil
}

type value struct {
	StringValue *string
	IntValue    *json.Number
	DoubleValue *json.Number
	BoolValue   *bool
	ArrayValue  *struct{ Values []value }
}

func (v value) String() string {
	switch {
	case v.StringValue != nil:
		return *v.StringValue
	case v.IntValue != nil:
		return v.IntValue.String()
	case v.DoubleValue != nil:
		return v.DoubleValue.String()
	case v.BoolValue != nil:
		return strconv.FormatBool(*v.BoolValue)
	case v.ArrayValue != nil:
		var parts []string
		for _, p := range v.ArrayValue.Values {
			parts = append(parts, p.String())
		}
		return strings.Join(parts, ",")
	}
	return ""
}

// Read returns the spans of a file; batches of metrics and logs have none.
func Read(r io.Reader) (out []Span, err error) {
	for d := json.NewDecoder(r); ; {
		var batch struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes Attributes }
				ScopeSpans []struct{ Spans []Span }
			}
		}
		if err := d.Decode(&batch); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("spans: at byte %d: %w", d.InputOffset(), err)
		}
		for _, r := range batch.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					span.Resource = r.Resource.Attributes
					out = append(out, span)
				}
			}
		}
	}
}
