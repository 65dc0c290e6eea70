// Package mask is a plugin that hides fields of JSON values from consumers.
package mask

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/jsonspan"
)

type config struct {
	Topics  conf.Globs `json:"topics"`
	Fields  []string   `json:"fields"`
	Mode    string     `json:"mode"`     // redact, last4, hash
	Key     string     `json:"key"`      // of hash
	Length  int        `json:"length"`   // of a hash, in hex digits
	NonJSON string     `json:"non_json"` // reject, pass, redact
}

type mask struct {
	config
	paths   *jsonspan.Paths
	cover   cover
	counted []*sdk.Metric // per field

	// Of one call or record, kept for the next.
	spans  []jsonspan.Span
	edits  []replacement
	counts []int
	out    []byte
}

// replacement is text that takes the place of a span and has another length.
type replacement struct {
	span jsonspan.Span
	text []byte
}

func (m *mask) Configure(b []byte) error {
	c := config{Mode: "redact", NonJSON: "redact", Length: 16}
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if len(c.Fields) == 0 {
		return errors.New("config.fields is missing: paths of what to mask, such as customer.email")
	}
	if !slices.Contains([]string{"reject", "pass", "redact"}, c.NonJSON) {
		return fmt.Errorf("config.non_json: %q is not one of reject, pass, redact", c.NonJSON)
	}
	paths, err := jsonspan.Compile(c.Fields)
	if err != nil {
		return fmt.Errorf("config.fields: %w", err)
	}
	cover, err := newCover(c)
	if err != nil {
		return err
	}
	counted := make([]*sdk.Metric, len(c.Fields))
	for i, f := range c.Fields {
		counted[i] = sdk.NewCounter("masked_total", map[string]string{"field": f})
	}
	*m = mask{config: c, paths: paths, cover: cover, counted: counted, counts: make([]int, len(c.Fields))}
	return nil
}

func (m *mask) OnFetch(r *sdk.Records) error {
	if m.paths == nil {
		return sdk.Errorf(sdk.TopicAuthorizationFailed, "mask has no config: say which fields")
	}
	clear(m.counts)
	for g := range r.Groups() {
		if !m.Topics.Match(g.Topic()) {
			continue
		}
		for rec := range g.Records() {
			m.record(rec)
		}
	}
	for i, n := range m.counts {
		if n > 0 {
			m.counted[i].Add(r.Gateway(), float64(n))
		}
	}
	return nil
}

func (m *mask) record(rec sdk.Record) {
	value := rec.Value()
	if value == nil {
		return
	}
	doc := value[frame(value):]
	var err error
	if m.spans, err = m.paths.Find(doc, m.spans[:0]); err != nil {
		switch m.NonJSON {
		case "redact":
			rec.SetValue([]byte(`"***"`))
		case "reject":
			rec.Reject(sdk.TopicAuthorizationFailed, "the value is not JSON, so nothing in it can be masked")
		}
		return
	}
	m.edits = m.edits[:0]
	inPlace := false
	for _, s := range m.spans {
		m.counts[s.Path]++
		text, changed := m.cover(doc[s.Start:s.End])
		if text != nil {
			m.edits = append(m.edits, replacement{s, text})
		}
		inPlace = inPlace || changed
	}
	switch {
	case len(m.edits) > 0:
		rec.SetValue(m.rebuild(value, doc))
	case inPlace:
		rec.SetValueInPlace()
	}
}

// frame is the length of what schema registries' serializers put before the JSON: 0 and the
// schema's id.
func frame(value []byte) int {
	if len(value) > 5 && value[0] == 0 {
		return 5
	}
	return 0
}

func (m *mask) rebuild(value, doc []byte) []byte {
	m.out = append(m.out[:0], value[:len(value)-len(doc)]...)
	at := 0
	for _, e := range m.edits {
		m.out = append(append(m.out, doc[at:e.span.Start]...), e.text...)
		at = e.span.End
	}
	m.out = append(m.out, doc[at:]...)
	return m.out
}

// New returns the plugin.
func New() *sdk.Guest { return sdk.New("mask", &mask{}, sdk.Version("1.0.0"), sdk.FailClosedOnly()) }
