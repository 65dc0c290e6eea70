package workbench

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Body is the body of a message: a Text, or {fields: {...}} with Kafka's fields as kmsg names them.
// What is left out has Kafka's default.
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
	if n := b.tree(); n != nil {
		return map[string]*yaml.Node{"fields": n}, nil
	}
	return b.Text.MarshalYAML()
}

// tree is the message; nil if it is none, or would not be the same bytes again.
func (b *Body) tree() *yaml.Node {
	if b.of == nil {
		return nil
	}
	text, err := b.of.json(b.Bytes)
	if err != nil {
		return nil
	}
	again, err := b.of.bytes(text)
	var doc yaml.Node
	if err != nil || string(again) != string(b.Bytes) || yaml.Unmarshal(text, &doc) != nil {
		return nil
	}
	unfold(&doc)
	return doc.Content[0]
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
	var tree any
	if err := b.fields.Decode(&tree); err != nil {
		return err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("line %d: %w", b.fields.Line, err)
	}
	if b.Bytes, err = f.bytes(text); err != nil {
		return fmt.Errorf("line %d: %w", b.fields.Line, err)
	}
	b.fields = nil
	return nil
}

// bytes are those of a message as JSON.
func (f *form) bytes(text []byte) ([]byte, error) {
	if f.response {
		b, err := kafka.ResponseOfJSON(f.key, f.version, text)
		if err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	b, err := kafka.RequestOfJSON(f.key, f.version, text)
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// json is a message as JSON, without what is the default.
func (f *form) json(b []byte) ([]byte, error) {
	if f.response {
		return kafka.NewResponseBody(f.key, f.version, b).JSON(false)
	}
	return kafka.NewRequestBody(f.key, f.version, b).JSON(false)
}

// unfold writes a tree over lines, as people do.
func unfold(n *yaml.Node) {
	if n.Style &^= yaml.FlowStyle; n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Style == yaml.DoubleQuotedStyle {
		_ = n.Encode(n.Value) // with quotes where they must be
	}
	for _, c := range n.Content {
		unfold(c)
	}
}
