// Package conf reads the configurations of plugins.
package conf

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
)

// Globs are patterns of names; none match all.
type Globs []string

// UnmarshalJSON reads one pattern or a list, and refuses those that are malformed.
func (g *Globs) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*[]string)(g)); err != nil {
		var one string
		if json.Unmarshal(b, &one) != nil {
			return fmt.Errorf("%s is not a glob or a list of globs", b)
		}
		*g = Globs{one}
	}
	for _, p := range *g {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is not a glob", p)
		}
	}
	return nil
}

// Match reports whether a name matches one of them.
func (g Globs) Match(name string) bool {
	for _, p := range g {
		if ok, _ := path.Match(flat(p), flat(name)); ok {
			return true
		}
	}
	return len(g) == 0
}

// flat takes from slashes, which client ids may have, their meaning in path.Match.
func flat(s string) string { return strings.ReplaceAll(s, "/", "\x01") }

// Duration is written as Go writes it: 10s, 1m30s.
type Duration time.Duration

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 10s or 1m30s", b)
	}
	*d = Duration(v)
	return nil
}
