package workbench

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Body is the body of a message: a Text, or {fields: {...}} with Kafka's fields as kmsg names them. What is left out has Kafka's default.
type Body struct {
	Text
	fields *yaml.Node
	of     *form // nil while it is not known
}

// form is what a body is the body of.
type form struct {
	key      kmsg.Key
	version  int16
	response bool
}

// message is what requests and responses have in common.
type message interface {
	AppendTo([]byte) []byte
	SetVersion(int16)
}

// UnmarshalYAML reads a body.
func (b *Body) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		if b.fields = valueOf(n, "fields"); b.fields != nil {
			if len(n.Content) > 2 {
				return fmt.Errorf("line %d: a body has fields, or bytes", n.Line)
			}
			return nil
		}
	}
	return b.Text.UnmarshalYAML(n)
}

// MarshalYAML writes fields, or bytes that are no message.
func (b *Body) MarshalYAML() (any, error) {
	if m := b.decoded(); m != nil {
		return map[string]*yaml.Node{"fields": fieldsOf(reflect.ValueOf(m).Elem())}, nil
	}
	return b.Text.MarshalYAML()
}

// decoded is the message, nil if it is none, or would not be the same bytes again.
func (b *Body) decoded() message {
	if b.of == nil {
		return nil
	}
	m, err := b.of.decode(b.Bytes)
	if err != nil || string(m.AppendTo(nil)) != string(b.Bytes) {
		return nil
	}
	return m
}

// String shows a body as it is written.
func (b *Body) String() string {
	if b == nil {
		return "nothing"
	}
	out, err := encode(b)
	if err != nil {
		return b.Text.String()
	}
	return string(out)
}

func sameBody(a, b *Body) bool {
	return (a == nil) == (b == nil) && (a == nil || string(a.Bytes) == string(b.Bytes))
}

// body is a body of a message, nil for none.
func (f *form) body(b []byte) *Body {
	if b == nil {
		return nil
	}
	return &Body{Text: Text{b}, of: f}
}

// empty is a message with Kafka's defaults.
func (f *form) empty() message {
	var m message = kmsg.RequestForKey(int16(f.key))
	if f.response {
		m = kmsg.ResponseForKey(int16(f.key))
	}
	m.SetVersion(f.version)
	return m
}

func (f *form) decode(b []byte) (message, error) {
	if f.response {
		return kafka.NewResponseBody(f.key, f.version, b).Peek()
	}
	return kafka.NewRequestBody(f.key, f.version, b).Peek()
}

// forms are those of the request and response of an API in a version.
func forms(api string, version int16) (request, response *form, err error) {
	key, ok := kafka.KeyOf(api)
	if !ok {
		return nil, nil, fmt.Errorf("there is no Kafka API %q", api)
	}
	if row, _ := kafka.Lookup(key); version < 0 || version > row.MaxVersion {
		return nil, nil, fmt.Errorf("%s has the versions 0 to %d, not %d", api, row.MaxVersion, version)
	}
	return &form{key, version, false}, &form{key, version, true}, nil
}

// resolve makes the bytes of fields.
func (b *Body) resolve(f *form) error {
	if b == nil {
		return nil
	}
	if b.of = f; b.fields == nil {
		return nil
	}
	m := f.empty()
	if err := fill(reflect.ValueOf(m).Elem(), b.fields); err != nil {
		return err
	}
	b.Bytes, b.fields = m.AppendTo([]byte{}), nil
	return nil
}

// fill sets a value from YAML.
func fill(v reflect.Value, n *yaml.Node) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...))
	}
	switch {
	case n.Tag == "!!null":
		v.SetZero()
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), n)
	case v.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return bad("want fields")
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			f := v.FieldByName(name)
			if !f.IsValid() || name == "Version" || name == "UnknownTags" {
				return fmt.Errorf("line %d: there is no field %s: there are %s", n.Content[i].Line, name, names(v.Type()))
			}
			if err := fill(f, n.Content[i+1]); err != nil {
				return err
			}
		}
		return nil
	case isBytes(v.Type()):
		var t Text
		if err := t.UnmarshalYAML(n); err != nil {
			return err
		}
		v.SetBytes(t.Bytes)
		return nil
	case v.Kind() == reflect.Array: // an id
		b, err := hex.DecodeString(n.Value)
		if err != nil || len(b) != v.Len() {
			return bad("want %d bytes in hex", v.Len())
		}
		reflect.Copy(v, reflect.ValueOf(b))
		return nil
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return bad("want a list")
		}
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			x := out.Index(i)
			if d, ok := x.Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
			if err := fill(x, c); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		var wrong *yaml.TypeError
		if errors.As(err, &wrong) {
			return bad("want a value of type %s", v.Kind())
		}
		return err
	}
	return nil
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// names are the fields that a case may set.
func names(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		if n := t.Field(i).Name; n != "Version" && n != "UnknownTags" {
			out = append(out, n)
		}
	}
	return out
}

// fieldsOf writes what is not the default.
func fieldsOf(v reflect.Value) *yaml.Node {
	standard := reflect.New(v.Type())
	if d, ok := standard.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, name := range names(v.Type()) {
		f := v.FieldByName(name)
		if reflect.DeepEqual(f.Interface(), standard.Elem().FieldByName(name).Interface()) {
			continue
		}
		n.Content = append(n.Content, scalar(name), nodeOf(f))
	}
	return n
}

func nodeOf(v reflect.Value) *yaml.Node {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil(), v.Kind() == reflect.Slice && v.IsNil():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case v.Kind() == reflect.Pointer:
		return nodeOf(v.Elem())
	case v.Kind() == reflect.Struct:
		return fieldsOf(v)
	case isBytes(v.Type()):
		return scalar(&Text{v.Bytes()})
	case v.Kind() == reflect.Array:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: hex.EncodeToString(b), Style: yaml.DoubleQuotedStyle}
	case v.Kind() == reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, nodeOf(v.Index(i)))
		}
		return n
	}
	return scalar(v.Interface())
}

func scalar(v any) *yaml.Node {
	n := &yaml.Node{}
	_ = n.Encode(v) // of numbers, texts and truths
	return n
}
