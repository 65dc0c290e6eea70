package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// What a text may be in the schema, as regular expressions of ECMA 262 and of Go alike.
const (
	// reference finds one of the references that stand for what is not known yet.
	reference = `(^|[^$])\$\{(env|file):[^${}]*\}`
	// literal is a text of which every ${ begins a reference or is written $${.
	literal = `^([^$]|\$\$+\{|\$\{(env|file):[^${}]*\}|\$+[^${])*\$*$`
	// A key holds no reference.
	keyPattern   = `^([^$]|\$+[^${])*\$*$`
	duration     = `[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)`
	sizePattern  = `^[-+]?[0-9]+$|^\s*[-+]?[0-9]+\s*([KMG]i?B)$|` + reference
	floatPattern = `^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|^[-+]?0[xX][0-9a-fA-F_.]+[pP][-+]?[0-9]+$|` + reference
	numbersRead  = `\s*\+?[0-9]+\s*(-\s*\+?[0-9]+\s*)?`
)

// ofForm is the pattern of a text of a form, or of one that is not known yet.
func ofForm(form string) string { return "^(" + form + ")$|" + reference }

// node is a schema of JSON Schema.
type node map[string]any

// Schema is the JSON Schema (draft 7, which editors know best) of a file: keys, types, forms of
// texts, what is needed, and defaults. What a value means for others, such as whether a cluster of
// that name exists, it does not know. sections are structs with the defaults of interceptors'
// sections by type, nil for one that may be anything. What fields are for is said by the comments
// of guide, a file that shows every field.
func Schema(sections map[string]any, guide []byte) ([]byte, error) {
	g, err := newGuide(guide)
	if err != nil {
		return nil, err
	}
	d := defaults()
	top := file{Admin: d.Admin, State: d.State, Limits: d.Limits, Failover: d.Failover, Telemetry: d.Telemetry}
	s := schema{sections: sections}.of(reflect.ValueOf(top), g)
	s["$schema"], s["title"] = "http://json-schema.org/draft-07/schema#", "Sluice"
	out, err := json.MarshalIndent(s, "", " ")
	return append(out, '\n'), err
}

// schema makes schemas of what a file is decoded into.
type schema struct{ sections map[string]any }

// of is the schema of a value of the type of v, which is the default.
func (s schema) of(v reflect.Value, g guide) node {
	if v.Kind() == reflect.Pointer {
		n := s.of(reflect.Zero(v.Type().Elem()), g)
		return orNull(n) // there is a default
	}
	switch t := v.Type(); {
	case t == reflect.TypeFor[time.Duration]():
		return node{"type": []string{"string", "integer", "null"}, "pattern": ofForm(duration), "minimum": 0, "maximum": 0}
	case t == reflect.TypeFor[[]any]():
		return s.chain(g)
	}
	switch v.Kind() {
	case reflect.Interface:
		return node{}
	case reflect.Struct:
		return s.object(v, g)
	case reflect.Map:
		return node{"type": []string{"object", "null"}, "propertyNames": node{"pattern": keyPattern}, "additionalProperties": s.of(reflect.Zero(v.Type().Elem()), g.any())}
	case reflect.Slice:
		return node{"type": []string{"array", "null"}, "items": s.of(reflect.Zero(v.Type().Elem()), g.any())}
	case reflect.Bool:
		return node{"type": []string{"boolean", "string", "null"}, "pattern": reference}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return node{"type": []string{"integer", "string", "null"}, "pattern": sizePattern}
	case reflect.Float64:
		return node{"type": []string{"number", "string", "null"}, "pattern": floatPattern}
	case reflect.String:
		return node{"type": []string{"string", "number", "boolean", "null"}, "pattern": literal}
	}
	panic(fmt.Sprintf("no settings are of type %s", v.Type()))
}

// object is of of a struct. A field with the tag needed may not be left out: always, or without
// another one; a field with the tag needs is nothing without another one.
func (s schema) object(v reflect.Value, g guide) node {
	properties, n := node{}, node{"type": []string{"object", "null"}, "additionalProperties": false}
	need := func(key string) node {
		return node{"required": []string{key}, "properties": node{key: filled(node{}, reflect.TypeFor[string]())}}
	}
	var always []string
	var conditions []node
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("koanf")
		if key == "" || key == "-" {
			continue
		}
		p, at := s.field(v.Field(i), f.Tag, g.at(key)), g.at(key)
		needed, other, _ := strings.Cut(f.Tag.Get("needed"), " ")
		switch inner := f.Type.Kind() == reflect.Struct && !nullable(p); {
		case needed == "always" || inner:
			always = append(always, key)
			p = filled(p, f.Type)
		case needed == "without":
			n["type"], n["anyOf"] = "object", []node{need(key), need(other)}
		}
		if other := f.Tag.Get("needs"); other != "" {
			with := node{"required": []string{key}, "properties": node{key: node{"type": "object", "minProperties": minOf(f.Type)}}}
			conditions = append(conditions, node{"if": with, "then": need(other)})
		}
		text := at.text()
		if text != "" {
			p["description"] = text
		}
		// 0 may stand for something else, which the text says then.
		if d := byDefault(v.Field(i)); d != nil && (!v.Field(i).IsZero() || !strings.Contains(text, "default:")) {
			p["default"] = d
		}
		properties[key] = p
	}
	if len(conditions) > 0 {
		n["allOf"] = conditions
	}
	if n["properties"] = properties; len(always) > 0 {
		n["type"], n["required"] = "object", always
	}
	return n
}

// minOf is how many entries a map has that says something: a section says something without any.
func minOf(t reflect.Type) int {
	if t.Kind() == reflect.Map {
		return 1
	}
	return 0
}

// field is of of a field of a struct, with what its tags say of texts: oneof, as for checkField;
// form (of each, in a list), a regular expression in which N-N is what numbers reads, and duration
// a duration; kept, such expressions for keys of a map that mean something else than the others.
func (s schema) field(v reflect.Value, tag reflect.StructTag, g guide) node {
	n := s.of(v, g)
	forms := strings.NewReplacer("N-N", numbersRead, "duration", duration)
	if form, ok := tag.Lookup("form"); ok {
		text := node{"type": []string{"string", "null"}, "pattern": ofForm(forms.Replace(form))}
		switch {
		case v.Kind() == reflect.Slice:
			text["type"] = "string"
			n["items"] = text
		case strings.Contains(form, "N-N"): // one number is a range too
			text["type"], text["minimum"] = []string{"string", "integer", "null"}, 0
			n = text
		default:
			n = text
		}
	}
	if kept := strings.Fields(tag.Get("kept")); len(kept) > 0 {
		words := node{}
		for _, k := range kept {
			key, form, _ := strings.Cut(k, "=")
			words[key] = node{"type": []string{"string", "null"}, "pattern": ofForm(forms.Replace(form))}
		}
		n["properties"] = words
	}
	oneof, ok := tag.Lookup("oneof")
	if !ok {
		return n
	}
	allowed := []any{}
	for _, text := range strings.Split(oneof, ",") {
		allowed = append(allowed, text)
	}
	text := node{"type": "string", "pattern": reference}
	if v.Kind() == reflect.Map {
		n["additionalProperties"] = node{"anyOf": []node{{"enum": allowed}, text}}
		return n
	}
	return node{"anyOf": []node{{"enum": append(allowed, nil)}, text}}
}

// chain is the schema of a list of interceptors, each a map of its type to its section.
func (s schema) chain(g guide) node {
	types := node{}
	for kind, settings := range s.sections {
		n := node{}
		if settings != nil {
			n = s.of(reflect.ValueOf(settings), g.any().at(kind))
		}
		if text := g.any().at(kind).text(); text != "" {
			n["description"] = text
		}
		types[kind] = n
	}
	entry := node{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": types}
	return node{"type": "array", "items": entry}
}

// filled is the schema of what is needed: neither null nor empty.
func filled(n node, t reflect.Type) node {
	if all, ok := n["anyOf"].([]node); ok {
		for _, one := range all {
			if enum, ok := one["enum"].([]any); ok {
				one["enum"] = enum[:len(enum)-1] // without null
			}
		}
		return n
	}
	switch t.Kind() {
	case reflect.String:
		n["type"], n["minLength"] = []string{"string", "number", "boolean"}, 1
	case reflect.Slice:
		n["type"] = "array"
		if t != reflect.TypeFor[[]any]() {
			n["minItems"] = 1
		}
	case reflect.Map:
		n["type"], n["minProperties"] = "object", 1
	default:
		n["type"] = "object"
	}
	return n
}

// nullable reports a schema of what may be left out.
func nullable(n node) bool {
	types, ok := n["type"].([]string)
	return ok && types[len(types)-1] == "null"
}

// orNull allows null besides.
func orNull(n node) node {
	if kind, ok := n["type"].(string); ok {
		n["type"] = []string{kind, "null"}
	}
	return n
}

// byDefault is what the file would say for a value; nil where nothing is said.
func byDefault(v reflect.Value) any {
	switch d := v.Interface().(type) {
	case time.Duration:
		text := d.String()
		for _, none := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, none) {
				text = text[:len(text)-len("0s")]
			}
		}
		return text
	case int, int64:
		if n := v.Int(); n > 0 && n%(1<<20) == 0 {
			return fmt.Sprintf("%dMiB", n>>20)
		}
		return d
	case string, bool, float64:
		if v.IsZero() && v.Kind() == reflect.String {
			return nil
		}
		return d
	}
	return nil
}
