// Command schemaid is a plugin that lets producers write only values with a schema id that is
// known.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

type config struct {
	Rules    []rule    `json:"rules"`
	Registry *registry `json:"registry"`
}

// rule says which ids the values of some topics may have: those listed, or those that the registry
// knows.
type rule struct {
	Topics   conf.Globs `json:"topics"`
	IDs      []span     `json:"ids"`
	Registry bool       `json:"registry"`
}

type schemaid struct{ config }

func (s *schemaid) Configure(b []byte) error {
	var c config
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if len(c.Rules) == 0 {
		return errors.New("config.rules is missing: which topics may have which schema ids")
	}
	for i, r := range c.Rules {
		switch {
		case (len(r.IDs) > 0) == r.Registry:
			return fmt.Errorf("config.rules[%d] needs either ids or registry: true", i)
		case r.Registry && c.Registry == nil:
			return fmt.Errorf("config.rules[%d] needs config.registry: the url of the schema registry", i)
		}
	}
	if c.Registry != nil {
		if err := c.Registry.check(); err != nil {
			return err
		}
	}
	s.config = c
	return nil
}

func (s *schemaid) OnProduce(r *sdk.Records) error {
	if s.Rules == nil {
		return sdk.Errorf(sdk.PolicyViolation, "schemaid has no config: say which schema ids are allowed")
	}
	v := verdicts{gateway: r.Gateway(), registry: s.Registry}
	for g := range r.Groups() {
		rule := s.rule(g.Topic())
		if rule == nil {
			continue
		}
		for rec := range g.Records() {
			if rec.Value() == nil {
				continue // tombstones have no schema
			}
			why, err := v.of(rule, rec.Value())
			if err != nil {
				return err
			}
			if why != "" {
				rec.Reject(sdk.InvalidRecord, why)
				break // its batch is refused
			}
		}
	}
	return nil
}

// rule is the first that names a topic; topics without one are free.
func (s *schemaid) rule(topic string) *rule {
	for i := range s.Rules {
		if s.Rules[i].Topics.Match(topic) {
			return &s.Rules[i]
		}
	}
	return nil
}

// verdicts are those of one call.
type verdicts struct {
	gateway  *sdk.Gateway
	registry *registry
	lookups  int

	// Neighbours have the same id, mostly.
	rule *rule
	id   uint32
	why  string
}

// of says what is wrong with a value, "" for nothing.
func (v *verdicts) of(r *rule, value []byte) (string, error) {
	if len(value) < 5 || value[0] != 0 {
		return "the value does not begin with a schema id: use a serializer of the schema registry", nil
	}
	id := binary.BigEndian.Uint32(value[1:])
	if v.rule == r && v.id == id {
		return v.why, nil
	}
	why := ""
	if r.Registry {
		known, err := v.registry.knows(v.gateway, id, &v.lookups)
		if err != nil {
			return "", err
		}
		if !known {
			why = fmt.Sprintf("the schema registry has no schema with the id %d", id)
		}
	} else if !contains(r.IDs, id) {
		why = fmt.Sprintf("the schema id %d is not allowed in this topic", id)
	}
	v.rule, v.id, v.why = r, id, why
	return why, nil
}

func init() {
	sdk.Register(sdk.New("schemaid", &schemaid{}, sdk.Version("1.0.0"), sdk.Needs("kv", "http")))
}

func main() {}
