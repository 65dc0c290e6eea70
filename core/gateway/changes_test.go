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
	if c := changes("a", map[string]any{"b": 1}, "text"); len(c) != 1 || c[0].Path != "a" {
		t.Errorf("another kind: %v", c)
	}
}
