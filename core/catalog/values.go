package catalog

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
)

// Value decodes what was stored under kind and key into v; false if there is nothing.
func (c *Catalog) Value(kind, key string, v any) (bool, error) {
	c.mu.RLock()
	b, ok := c.values[[2]string{kind, key}]
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
		if k[0] == kind {
			out = append(out, k[1])
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
	if len(values) == 0 {
		return nil
	}
	var entries []Entry
	for _, key := range slices.Sorted(maps.Keys(values)) {
		e := Entry{Kind: kind, Key: key}
		if v := values[key]; v != nil {
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
		if e.Value == nil {
			delete(c.values, [2]string{kind, e.Key})
		} else {
			c.values[[2]string{kind, e.Key}] = e.Value
		}
	}
	return nil
}
