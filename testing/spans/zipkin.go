package spans

import (
	"encoding/json"
	"io"
	"slices"
)

type zipkin struct {
	Trace       string            `json:"traceId"`
	ID          string            `json:"id"`
	Parent      string            `json:"parentId,omitempty"`
	Kind        string            `json:"kind,omitempty"`
	Name        string            `json:"name"`
	Timestamp   int64             `json:"timestamp"` // in microseconds, as all times
	Duration    int64             `json:"duration"`
	Service     map[string]string `json:"localEndpoint"`
	Tags        map[string]string `json:"tags"`
	Annotations []annotation      `json:"annotations,omitempty"`
}

type annotation struct {
	Timestamp int64  `json:"timestamp"`
	Value     string `json:"value"`
}

// Zipkin writes spans of some traces as Zipkin takes them (POST /api/v2/spans), to look at them
// there. Zipkin has no links.
func Zipkin(w io.Writer, list []Span, traces []string) error {
	out := []zipkin{}
	for _, s := range list {
		if !slices.Contains(traces, s.Trace) {
			continue
		}
		z := zipkin{
			Trace: s.Trace, ID: s.ID, Parent: s.Parent, Kind: map[int]string{Server: "SERVER", Client: "CLIENT"}[s.Kind], Name: s.Name,
			Timestamp: s.Start.UnixMicro(), Duration: max(s.End.Sub(s.Start.Time).Microseconds(), 1),
			Service: map[string]string{"serviceName": s.Resource["service.name"]}, Tags: s.Attributes,
		}
		for _, e := range s.Events {
			z.Annotations = append(z.Annotations, annotation{e.At.UnixMicro(), e.Name})
		}
		out = append(out, z)
	}
	return json.NewEncoder(w).Encode(out)
}
