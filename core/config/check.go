package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// check compares a node with the type that it will be decoded into: unknown keys, wrong types and
// keys that stand twice, each with its place in the file.
func check(file string, n *yaml.Node, t reflect.Type, path []string) (errs Errors) {
	bad := func(n *yaml.Node, format string, args ...any) {
		errs = append(errs, errorAt(file, n, path, format, args...))
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
			bad(n, "want a duration like 30s or 5m, got %q", n.Value)
		}
		return errs
	case t.Kind() == reflect.Interface:
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			bad(n, "want a map")
			return errs
		}
		fields := map[string]reflect.Type{}
		var names []string
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("koanf"); tag != "" && tag != "-" {
				fields[tag] = t.Field(i).Type
				names = append(names, tag)
			}
		}
		errs = append(errs, pairs(file, n, path, func(k, v *yaml.Node) Errors {
			ft, ok := fields[k.Value]
			if !ok {
				return Errors{errorAt(file, k, path, "unknown key %q%s", k.Value, nearest(k.Value, names))}
			}
			return check(file, v, ft, sub(path, k.Value))
		})...)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			bad(n, "want a map")
			return errs
		}
		errs = append(errs, pairs(file, n, path, func(k, v *yaml.Node) Errors {
			return check(file, v, t.Elem(), sub(path, k.Value))
		})...)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			bad(n, "want a list")
			return errs
		}
		for i, c := range n.Content {
			errs = append(errs, check(file, c, t.Elem(), sub(path, strconv.Itoa(i)))...)
		}
	default:
		if n.Kind != yaml.ScalarNode {
			bad(n, "want a %s", kindName(t.Kind()))
			return errs
		}
		if !fits(n, t.Kind()) {
			bad(n, "want a %s, got %q", kindName(t.Kind()), n.Value)
		}
	}
	return errs
}

// pairs walks a map and reports keys that stand twice.
func pairs(file string, n *yaml.Node, path []string, each func(k, v *yaml.Node) Errors) (errs Errors) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if seen[k.Value] {
			errs = append(errs, errorAt(file, k, path, "key %q stands twice", k.Value))
		}
		seen[k.Value] = true
		errs = append(errs, each(k, n.Content[i+1])...)
	}
	return errs
}

func sub(path []string, name string) []string {
	return append(path[:len(path):len(path)], name)
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "boolean (true or false)"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "number (sizes may say KiB, MiB or GiB)"
	case reflect.Float64:
		return "number"
	}
	return "text"
}

func fits(n *yaml.Node, k reflect.Kind) bool {
	switch k {
	case reflect.Bool:
		return n.Tag == "!!bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		_, ok := size(n.Value)
		return ok
	case reflect.Float64:
		_, err := strconv.ParseFloat(n.Value, 64)
		return err == nil
	}
	return true
}

// size parses a number with an optional unit.
func size(s string) (int64, bool) {
	for unit, f := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if v, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n * f, err == nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
