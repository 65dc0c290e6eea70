package gateway

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/config"
)

// noteChange remembers what an edit has changed, in values: secrets are masked, comments are left out. g.mu is held.
func (g *Gateway) noteChange(before, after *config.Snapshot) {
	if before == nil || before.Revision == after.Revision {
		return
	}
	g.changed, g.changes = time.Now(), changes("", before.Masked(), after.Masked())
}

// changes lists where two trees differ.
func changes(path string, before, after any) (out []admin.Change) {
	x, y := children(before), children(after)
	if x == nil || y == nil {
		if !reflect.DeepEqual(before, after) {
			out = append(out, admin.Change{Path: path, Before: before, After: after})
		}
		return out
	}
	keys := maps.Clone(x)
	maps.Copy(keys, y)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		at := k
		if path != "" {
			at = path + "." + k
		}
		out = append(out, changes(at, x[k], y[k])...)
	}
	return out
}

// children are the values of a map or list by key or index; nil for anything else.
func children(v any) map[string]any {
	switch x := v.(type) {
	case map[string]any:
		return x
	case []any:
		out := map[string]any{}
		for i, e := range x {
			out[fmt.Sprint(i)] = e
		}
		return out
	}
	return nil
}
