package gateway

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/core/admin"
)

func TestChangesNameWhatDiffers(t *testing.T) {
	tree := func(home string, ports ...any) any {
		return map[string]any{"topics": map[string]any{"orders": map[string]any{"cluster": home}}, "ports": ports, "same": 1}
	}
	got := changes("", tree("prod", 1, 2), tree("dr", 1))
	want := []admin.Change{{Path: "ports.1", Before: 2}, {Path: "topics.orders.cluster", Before: "prod", After: "dr"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if c := changes("", tree("dr"), tree("dr")); len(c) > 0 {
		t.Errorf("the same: %v", c)
	}
	chain := func(list ...string) (out []any) {
		for _, n := range list {
			out = append(out, map[string]any{n: map[string]any{"a": 1}})
		}
		return out
	}
	for _, c := range []struct {
		before, after []any
		want          string
	}{
		{chain("routing", "topics"), chain("wasm", "routing", "topics"), "[{c.wasm <nil> map[a:1]}]"},
		{chain("routing", "topics"), chain("topics"), "[{c.routing map[a:1] <nil>}]"},
		{chain("routing"), []any{map[string]any{"routing": map[string]any{"a": 2}}, map[string]any{"offsets": nil}}, "[{c.offsets <nil> map[]} {c.routing.a 1 2}]"},
		{chain("a", "b"), chain("b", "a"), "[{c.0.a map[a:1] <nil>} {c.0.b <nil> map[a:1]} {c.1.a <nil> map[a:1]} {c.1.b map[a:1] <nil>}]"},
		{chain("wasm", "wasm"), chain("wasm"), "[{c.1 map[wasm:map[a:1]] <nil>}]"},
	} {
		if got := fmt.Sprint(changes("c", c.before, c.after)); got != c.want {
			t.Errorf("%v -> %v: %s, want %s", c.before, c.after, got, c.want)
		}
	}
	if c := changes("a", map[string]any{"b": 1}, "text"); len(c) != 1 || c[0].Path != "a" {
		t.Errorf("another kind: %v", c)
	}
}
