package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// render writes a value in flow style.
func render(v any) string {
	switch x := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, scalar(k)+": "+render(x[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case string:
		return scalar(x)
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

// scalar writes a text, quoted where a reader of YAML, also an older one, would take it for
// something else: null, true, yes.
func scalar(s string) string {
	if b, err := yaml.Marshal(s); err == nil && plain.MatchString(s) && string(b) == s+"\n" {
		return s
	}
	return strconv.Quote(s)
}
