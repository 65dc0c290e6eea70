package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Value decodes what was stored under kind and key into v; false if there is nothing.
func (c *Catalog) Value(kind, key string, v any) (bool, error) {
	c.mu.RLock()
	b, ok := c.values[Key{kind, key}]
	c.mu.RUnlock()
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(b, v)
}

// Keys lists the keys stored under kind.
func (c *Catalog) Keys(kind string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []string
	for k := range c.values {
		if k.Kind == kind {
			out = append(out, k.Key)
		}
	}
	slices.Sort(out)
	return out
}

// SetValue stores v under kind and key; nil deletes it.
func (c *Catalog) SetValue(ctx context.Context, kind, key string, v any) error {
	return c.SetValues(ctx, kind, map[string]any{key: v})
}

// SetValues is SetValue for several keys, in one write.
func (c *Catalog) SetValues(ctx context.Context, kind string, values map[string]any) error {
	all := map[Key]any{}
	for key, v := range values {
		all[Key{kind, key}] = v
	}
	return c.SetAll(ctx, all)
}

// Key is where a value is stored.
type Key struct{ Kind, Key string }

// SetAll is SetValue for values of several kinds, in one write.
func (c *Catalog) SetAll(ctx context.Context, values map[Key]any) error {
	if len(values) == 0 {
		return nil
	}
	var entries []Entry
	for _, at := range slices.SortedFunc(maps.Keys(values), func(a, b Key) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	}) {
		e := Entry{Kind: at.Kind, Key: at.Key}
		if v := values[at]; v != nil {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			e.Value = b
		}
		entries = append(entries, e)
	}
	if err := c.log.Append(ctx, entries...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		at := Key{e.Kind, e.Key}
		if e.Value == nil {
			delete(c.values, at)
		} else {
			c.values[at] = e.Value
		}
	}
	return nil
}
