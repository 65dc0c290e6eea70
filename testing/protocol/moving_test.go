package protocol

import (
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/core/block"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sluice-gateway/sluice/core/failover"
)

// TestAMoveIsSeenWhileItRuns: a first span at once, each phase as it ends, with the move's id, and
// those that were refused as failed.
func TestAMoveIsSeenWhileItRuns(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	h, rec := traced(t, "")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 3) // of which there is no copy
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	seen := func(name string) *traces.Span {
		all := rec.all()
		if i := slices.IndexFunc(all, func(s *traces.Span) bool { return s.Name == name }); i >= 0 {
			return all[i]
		}
		return nil
	}
	h.wait("the first phases", func() bool { return seen("asked") != nil && seen("pending") != nil && seen("pre-check") != nil })
	move := h.gw.Moves()[0]
	if move.Phase == failover.Done || seen("move") != nil {
		t.Fatalf("the move is over: %+v", move)
	}
	for _, name := range []string{"asked", "pending", "pre-check"} {
		says(t, seen(name), map[string]string{"sluice.move": move.ID, "messaging.destination.name": "orders", "sluice.move.from": "prod", "sluice.move.to": "dr"})
		if string(seen(name).TraceId) != string(seen("asked").TraceId) {
			t.Errorf("%s is of another trace", name)
		}
	}
	if kind := attributes(seen("pre-check"))["error.type"]; !slices.Contains(block.Kinds, block.Kind(kind)) {
		t.Errorf("what has refused the move is %q", kind)
	}
	if err := h.gw.Edit("orders: {cluster: dr}", "orders: {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the move's own span", func() bool { return seen("move") != nil })
	if string(seen("asked").ParentSpanId) != string(seen("move").SpanId) {
		t.Error("its first span is not below it")
	}
	for _, list := range h.spans(rec) {
		for _, s := range list {
			if string(s.TraceId) == string(seen("asked").TraceId) && s.Name != "move" && string(s.ParentSpanId) != string(seen("move").SpanId) {
				t.Errorf("%s is not below the move", s.Name)
			}
		}
	}
}
