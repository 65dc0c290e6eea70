package gateway

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/sluice-gateway/sluice/core/admin"
)

// changes lists where two trees of values differ: what an edit has changed, with secrets masked and
// without comments.
func changes(path string, before, after any) (out []admin.Change) {
	x, y := children(before), children(after)
	if p, q := byOnlyKey(before), byOnlyKey(after); p != nil && q != nil && sameOrder(before.([]any), after.([]any), p, q) {
		x, y = p, q
	}
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

// byOnlyKey are the elements of a list by their only key, if that tells them apart, as it mostly
// does the interceptors of a chain: one that is put in between is one change then.
func byOnlyKey(v any) map[string]any {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	out := map[string]any{}
	for _, e := range list {
		k, ok := onlyKey(e)
		if _, twice := out[k]; !ok || twice {
			return nil
		}
		if out[k] = e.(map[string]any)[k]; out[k] == nil {
			out[k] = map[string]any{} // it is there
		}
	}
	return out
}

func onlyKey(v any) (string, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	for k := range m {
		return k, true
	}
	return "", false
}

// sameOrder says whether what two lists have both stands in the same order in them.
func sameOrder(x, y []any, inX, inY map[string]any) bool {
	both := func(list []any, other map[string]any) (out []string) {
		for _, e := range list {
			k, _ := onlyKey(e)
			if _, ok := other[k]; ok {
				out = append(out, k)
			}
		}
		return out
	}
	return slices.Equal(both(x, inY), both(y, inX))
}
