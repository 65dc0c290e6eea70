// Package workbench has the tools for authors of plugins: projects, cases, measurements. They run
// guests with the host that gateways run them with.
package workbench

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Cases is a file of cases: records in, and what is to become of them.
type Cases struct {
	Config any    `yaml:"config,omitempty"`
	Cases  []Case `yaml:"cases"`
}

// Case is one call of a guest, or several steps.
type Case struct {
	Name    string   `yaml:"name,omitempty"`
	Kind    string   `yaml:"kind,omitempty"` // produce, fetch, request or response
	Client  Client   `yaml:"client,omitempty"`
	Records []Record `yaml:"records,omitempty"`
	// Of messages: the API by Kafka's name, the version, the body, and what the request left for
	// the response.
	API     string `yaml:"api,omitempty"`
	Version int16  `yaml:"version,omitempty"`
	Body    *Body  `yaml:"body,omitempty"`
	State   *Text  `yaml:"state,omitempty"`
	Expect  Expect `yaml:"expect,omitempty"`
	// Steps are calls of the same guest, one after the other, in place of all of the above but the
	// name: its store and its variables stay, and what a request left comes to the next response.
	// They have no names and no steps themselves.
	Steps []Case `yaml:"steps,omitempty"`
}

// Client is who sends the request.
type Client struct {
	ID        string `yaml:"id,omitempty"`
	Principal string `yaml:"principal,omitempty"`
}

// Record is a record. Partitions are told apart by Topic and Partition; in what is expected both
// may be left out.
type Record struct {
	Topic     string  `yaml:"topic,omitempty"`
	Partition int32   `yaml:"partition,omitempty"`
	Key       *Text   `yaml:"key,omitempty"`
	Value     *Text   `yaml:"value,omitempty"`
	Headers   Headers `yaml:"headers,omitempty"`
	Timestamp int64   `yaml:"timestamp,omitempty"`
}

// Expect is what is to become of the records of a case.
type Expect struct {
	// Records are those that go on, in order.
	Records []Record `yaml:"records,omitempty"`
	// Dropped and Rejected are indexes of records of the case; Rejected says with which code.
	Dropped  []int         `yaml:"dropped,omitempty"`
	Rejected map[int]int16 `yaml:"rejected,omitempty"`
	Refused  *Refused      `yaml:"refused,omitempty"`
	// Forward and Respond are the body that goes on, or the answer.
	Forward *Body `yaml:"forward,omitempty"`
	Respond *Body `yaml:"respond,omitempty"`
	State   *Text `yaml:"state,omitempty"`
}

// Refused is a refusal of all of it; Message is a part of its text.
type Refused struct {
	Code    int16  `yaml:"code"`
	Message string `yaml:"message,omitempty"`
}

// Text is bytes: a string, or {hex: ...} or {base64: ...}. A nil *Text is null.
type Text struct{ Bytes []byte }

// UnmarshalYAML reads a text.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		t.Bytes = []byte(n.Value)
		return nil
	}
	var coded struct {
		Hex    *string `yaml:"hex"`
		Base64 *string `yaml:"base64"`
	}
	err := n.Decode(&coded)
	switch {
	case err != nil:
	case coded.Hex != nil:
		t.Bytes, err = hex.DecodeString(strings.Join(strings.Fields(*coded.Hex), ""))
	case coded.Base64 != nil:
		t.Bytes, err = base64.StdEncoding.DecodeString(*coded.Base64)
	default:
		err = errors.New("a text is a string, {hex: ...} or {base64: ...}")
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// MarshalYAML writes a string if it is one.
func (t *Text) MarshalYAML() (any, error) {
	if isText(t.Bytes) {
		return string(t.Bytes), nil
	}
	return map[string]string{"hex": hex.EncodeToString(t.Bytes)}, nil
}

func isText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r == '\uFFFD' || r < ' ' && r != '\n' && r != '\t' })
}

func text(b []byte) *Text {
	if b == nil {
		return nil
	}
	return &Text{b}
}

func (t *Text) bytes() []byte {
	if t == nil {
		return nil
	}
	return slices.Clip(append([]byte{}, t.Bytes...))
}

// Headers are the headers of a record, in order.
type Headers []Header

// Header is one of them.
type Header struct {
	Key   string
	Value *Text
}

// UnmarshalYAML reads a map, whose keys may stand in it several times.
func (h *Headers) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: headers are a map", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		one := Header{Key: n.Content[i].Value}
		if v := n.Content[i+1]; v.Tag != "!!null" {
			one.Value = &Text{}
			if err := one.Value.UnmarshalYAML(v); err != nil {
				return err
			}
		}
		*h = append(*h, one)
	}
	return nil
}

// MarshalYAML writes a map.
func (h Headers) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, one := range h {
		var k, v yaml.Node
		if err := errors.Join(k.Encode(one.Key), v.Encode(one.Value)); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &k, &v)
	}
	return n, nil
}

// LoadCases reads a file of cases.
func LoadCases(path string) (*Cases, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c Cases
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range c.Cases {
		k := &c.Cases[i]
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("%s: case %d (%s) %w", path, i+1, k.Name, err)
		}
	}
	return &c, nil
}

// check says what is wrong with a case, and makes its bodies.
func (c *Case) check() error {
	if len(c.Steps) > 0 {
		if c.Kind != "" || c.Records != nil || c.Body != nil {
			return errors.New("has steps, and so nothing else but a name")
		}
		for i := range c.Steps {
			s := &c.Steps[i]
			if len(s.Steps) > 0 {
				return fmt.Errorf("has steps in step %d", i+1)
			}
			if err := s.check(); err != nil {
				return fmt.Errorf("step %d %w", i+1, err)
			}
		}
		return nil
	}
	switch {
	case !slices.Contains([]string{"produce", "fetch", "request", "response"}, c.Kind):
		return errors.New("has no kind: kind is produce, fetch, request or response")
	case c.message() && c.Body == nil:
		return errors.New("has no body")
	case !c.message() && len(c.Records) == 0:
		return errors.New("has no records")
	case !c.message():
		return nil
	}
	request, response, err := forms(c.API, c.Version)
	if err != nil {
		return fmt.Errorf("is wrong: %w", err)
	}
	in := request
	if c.Kind == "response" {
		in = response
	}
	if err := errors.Join(c.Body.resolve(in), c.Expect.Forward.resolve(in), c.Expect.Respond.resolve(response)); err != nil {
		return fmt.Errorf("is wrong: %w", err)
	}
	return nil
}

func (c Case) message() bool { return c.Kind == "request" || c.Kind == "response" }

// Save writes the cases into a file that its owner alone may read: they are what clients have sent.
func (c *Cases) Save(path string) error {
	b, err := encode(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Chmod(0o600); err != nil { // it was there
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Close()
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := errors.Join(e.Encode(v), e.Close())
	return b.Bytes(), err
}

// differ compares what became of a case with what was expected; "" is the same.
func (e Expect) differ(got Expect) string {
	switch {
	case (e.Refused == nil) != (got.Refused == nil), e.Refused != nil && (e.Refused.Code != got.Refused.Code || !strings.Contains(got.Refused.Message, e.Refused.Message)):
		return fmt.Sprintf("refused: got %s, want %s", show(got.Refused), show(e.Refused))
	case !maps.Equal(e.Rejected, got.Rejected):
		return fmt.Sprintf("rejected: got %v, want %v", got.Rejected, e.Rejected)
	case len(e.Dropped) > 0 && !slices.Equal(e.Dropped, got.Dropped):
		return fmt.Sprintf("dropped: got %v, want %v", got.Dropped, e.Dropped)
	case !sameBody(got.Forward, e.Forward):
		return fmt.Sprintf("forward: got %s, want %s", got.Forward, e.Forward)
	case !sameBody(got.Respond, e.Respond):
		return fmt.Sprintf("respond: got %s, want %s", got.Respond, e.Respond)
	case e.State != nil && !same(got.State, e.State):
		return fmt.Sprintf("state: got %s, want %s", got.State, e.State)
	case e.Refused != nil || len(e.Rejected) > 0 && e.Records == nil:
		return ""
	case len(e.Records) != len(got.Records):
		return fmt.Sprintf("%d records go on, want %d", len(got.Records), len(e.Records))
	}
	for i, want := range e.Records {
		if diff := want.differ(got.Records[i]); diff != "" {
			return fmt.Sprintf("record %d: %s", i, diff)
		}
	}
	return ""
}

func show(r *Refused) string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d %q", r.Code, r.Message)
}

func (r Record) differ(got Record) string {
	for _, f := range []struct {
		name      string
		got, want *Text
	}{{"key", got.Key, r.Key}, {"value", got.Value, r.Value}} {
		if !same(f.got, f.want) {
			return fmt.Sprintf("%s: got %s, want %s", f.name, f.got, f.want)
		}
	}
	if len(got.Headers) != len(r.Headers) {
		return fmt.Sprintf("headers: got %s, want %s", got.Headers, r.Headers)
	}
	for i, h := range r.Headers {
		if g := got.Headers[i]; g.Key != h.Key || !same(g.Value, h.Value) {
			return fmt.Sprintf("headers: got %s, want %s", got.Headers, r.Headers)
		}
	}
	if r.Timestamp != 0 && r.Timestamp != got.Timestamp {
		return fmt.Sprintf("timestamp: got %d, want %d", got.Timestamp, r.Timestamp)
	}
	return ""
}

func same(a, b *Text) bool {
	return (a == nil) == (b == nil) && (a == nil || bytes.Equal(a.Bytes, b.Bytes))
}

// String shows a text as it is written.
func (t *Text) String() string {
	switch {
	case t == nil:
		return "null"
	case isText(t.Bytes):
		return fmt.Sprintf("%q", t.Bytes)
	}
	return "hex " + hex.EncodeToString(t.Bytes)
}

// String shows headers as they are written.
func (h Headers) String() string {
	parts := make([]string, len(h))
	for i, one := range h {
		parts[i] = one.Key + ": " + one.Value.String()
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
