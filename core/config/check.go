package config

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// check compares a node with the type that it will be decoded into: unknown keys and wrong types,
// each with its place in the file. That type decides what a scalar is, not how YAML would take it:
// a password 007 has three digits. So check tags all but booleans as text. It takes out what is
// wrong, so that the rest can be decoded.
func check(file string, n *yaml.Node, t reflect.Type, path []string) (errs Errors) {
	bad := func(format string, args ...any) {
		errs = append(errs, errorAt(file, n, path, format, args...))
		nothing(n)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if isNull(n) {
		return nil
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
			bad("want a duration like 30s or 5m, got %q", n.Value)
			return errs
		}
		n.Tag = "!!str"
		return errs
	case t.Kind() == reflect.Interface:
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			bad("want a map")
			return errs
		}
		errs = checkKeys(file, n, t, path)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			bad("want a map")
			return errs
		}
		each(n, func(_ int, k, v *yaml.Node) {
			errs = append(errs, check(file, v, t.Elem(), sub(path, k.Value))...)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			bad("want a list")
			return errs
		}
		for i, c := range n.Content {
			errs = append(errs, check(file, c, t.Elem(), sub(path, strconv.Itoa(i)))...)
		}
	default:
		if n.Kind != yaml.ScalarNode {
			bad("want a %s", kindName(t.Kind()))
			return errs
		}
		if !fits(n, t.Kind()) {
			bad("want a %s, got %q", kindName(t.Kind()), n.Value)
			return errs
		}
		if t.Kind() != reflect.Bool {
			n.Tag = "!!str"
		}
	}
	return errs
}

// checkKeys is check of a map whose keys are the fields of a struct.
func checkKeys(file string, n *yaml.Node, t reflect.Type, path []string) (errs Errors) {
	fields := map[string]reflect.StructField{}
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("koanf"); tag != "" && tag != "-" {
			fields[tag] = t.Field(i)
			names = append(names, tag)
		}
	}
	var known []*yaml.Node
	each(n, func(_ int, k, v *yaml.Node) {
		if ft, ok := fields[k.Value]; ok {
			errs = append(errs, checkField(file, v, ft, sub(path, k.Value))...)
			known = append(known, k, v)
			return
		}
		e := errorAt(file, k, path, "unknown key %q%s", k.Value, nearest(k.Value, names))
		meant := nearestOf(k.Value, names)
		if find(n, meant) != nil { // it is there as well
			meant = k.Value
		}
		errs = append(errs, e.concerns(path, k.Value, meant))
	})
	n.Content = known
	return errs
}

// checkField is check of the value of a field. Its tag oneof lists what its texts may be, with
// commas between; one that begins with a comma may be empty.
func checkField(file string, n *yaml.Node, field reflect.StructField, path []string) Errors {
	errs := check(file, n, field.Type, path)
	oneof, ok := field.Tag.Lookup("oneof")
	if !ok {
		return errs
	}
	allowed := strings.Split(oneof, ",")
	named := strings.Join(allowed, ", ")
	one := func(n *yaml.Node, text string, path []string) {
		if n.Kind == yaml.ScalarNode && !slices.Contains(allowed, text) {
			errs = errs.And(errorAt(file, n, path, "%q is not one of %s", text, strings.TrimPrefix(named, ", ")))
			nothing(n)
		}
	}
	if !isNull(n) {
		one(n, n.Value, path)
	}
	each(n, func(_ int, k, v *yaml.Node) {
		text := v.Value
		if isNull(v) { // which is decoded as an empty text
			text = ""
		}
		one(v, text, sub(path, k.Value))
	})
	return errs
}

// nothing takes out what stands at a node.
func nothing(n *yaml.Node) {
	n.Kind, n.Tag, n.Value, n.Style, n.Content = yaml.ScalarNode, "!!null", "", 0, nil
}

func isNull(n *yaml.Node) bool { return n.ShortTag() == "!!null" }

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
		return n.ShortTag() == "!!bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		_, ok := size(n.Value)
		return ok
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		return err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return true
}

// size parses a number with an optional unit.
func size(s string) (int64, bool) {
	for unit, f := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if v, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n * f, err == nil && n <= math.MaxInt64/f && n >= math.MinInt64/f
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
