// Command encrypt is a plugin that encrypts values, or fields of JSON values, on their way to the
// log, and decrypts them on their way to consumers.
package main

import (
	"fmt"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/jsonspan"
)

type config struct {
	Topics    conf.Globs        `json:"topics"`
	Keys      map[string]string `json:"keys"`
	Active    string            `json:"active"`
	Fields    []string          `json:"fields"`
	BindKey   bool              `json:"bind_record_key"`
	Plaintext string            `json:"plaintext"` // pass, reject
}

type encrypt struct {
	config
	ring    *keyring
	whole   *format            // of values
	fields  *format            // of named fields, nil for none
	formats map[string]*format // read from headers

	// Of one record, kept for the next.
	spans    []jsonspan.Span
	out, one []byte
}

func (e *encrypt) Configure(b []byte) error {
	c := config{Plaintext: "pass"}
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if c.Plaintext != "pass" && c.Plaintext != "reject" {
		return fmt.Errorf("config.plaintext: %q is not one of pass, reject", c.Plaintext)
	}
	ring, err := newKeyring(c.Keys, c.Active)
	if err != nil {
		return err
	}
	n := encrypt{config: c, ring: ring, formats: map[string]*format{}, out: []byte{}}
	if n.whole, err = newFormat(c.Active, c.BindKey, nil); err != nil {
		return err
	}
	if len(c.Fields) > 0 {
		if n.fields, err = newFormat(c.Active, c.BindKey, c.Fields); err != nil {
			return fmt.Errorf("config.fields: %w", err)
		}
	}
	*e = n
	return nil
}

func (e *encrypt) OnProduce(r *sdk.Records) error {
	if e.ring == nil {
		return sdk.Errorf(sdk.PolicyViolation, "encrypt has no config: say which keys")
	}
	for g := range r.Groups() {
		topic := g.Topic()
		if !e.Topics.Match(topic) {
			continue
		}
		for rec := range g.Records() {
			if _, ok := rec.Header(headerName); ok {
				rec.Reject(sdk.InvalidRecord, "the header "+headerName+" is the gateway's: leave it out")
				continue
			}
			if rec.Value() == nil {
				continue // a tombstone must stay one
			}
			if err := e.seal(topic, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *encrypt) OnFetch(r *sdk.Records) error {
	if e.ring == nil {
		return sdk.Errorf(sdk.TopicAuthorizationFailed, "encrypt has no config: say which keys")
	}
	for g := range r.Groups() {
		topic := g.Topic()
		if !e.Topics.Match(topic) {
			continue
		}
		for rec := range g.Records() {
			if rec.Value() == nil {
				continue
			}
			if err := e.open(topic, rec); err != nil {
				r.Gateway().Logf(sdk.Warn, "%s-%d, offset %d: %v", topic, g.Partition(), rec.Offset(), err)
				rec.Reject(sdk.TopicAuthorizationFailed, err.Error())
			}
		}
	}
	return nil
}

func init() {
	sdk.Register(sdk.New("encrypt", &encrypt{}, sdk.Version("1.0.0"), sdk.FailClosedOnly()))
}

func main() {}
