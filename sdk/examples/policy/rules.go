package main

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

// bounds are those of a number; 0 is none.
type bounds struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// owner says which prefixes the names of a client's topics must have.
type owner struct {
	Principals conf.Globs `json:"principals"`
	Clients    conf.Globs `json:"clients"`
	Prefixes   []string   `json:"prefixes"`
}

type rules struct {
	Name              string `json:"name"`
	Partitions        bounds `json:"partitions"`
	ReplicationFactor bounds `json:"replication_factor"`
	BrokerDefaults    bool   `json:"broker_defaults"`
	Configs           struct {
		Allowed  []string          `json:"allowed"`
		Required map[string]string `json:"required"`
	} `json:"configs"`
	Owners []owner `json:"owners"`

	name     *regexp.Regexp
	required []string // keys, sorted
}

func newRules(b []byte) (*rules, error) {
	r := &rules{BrokerDefaults: true}
	if err := sdk.ReadConfig(b, r); err != nil {
		return nil, err
	}
	var err error
	if r.name, err = regexp.Compile("^(?:" + r.Name + ")$"); err != nil {
		return nil, fmt.Errorf("config.name is not a regular expression: %w", err)
	}
	for key, b := range map[string]bounds{"partitions": r.Partitions, "replication_factor": r.ReplicationFactor} {
		if b.Min < 0 || b.Max < 0 || b.Max > 0 && b.Min > b.Max {
			return nil, fmt.Errorf("config.%s: min must be at most max, and both at least 0", key)
		}
	}
	for _, g := range r.Configs.Allowed {
		if _, err := path.Match(g, ""); err != nil {
			return nil, fmt.Errorf("config.configs.allowed: %q is not a glob", g)
		}
	}
	for key := range r.Configs.Required {
		r.required = append(r.required, key)
	}
	slices.Sort(r.required)
	for i, o := range r.Owners {
		if len(o.Principals) == 0 && len(o.Clients) == 0 {
			return nil, fmt.Errorf("config.owners[%d] needs principals or clients: who it is about", i)
		}
		if len(o.Prefixes) == 0 {
			return nil, fmt.Errorf(`config.owners[%d].prefixes is missing; [""] allows all names`, i)
		}
	}
	if r.Name == "" && r.Partitions == (bounds{}) && r.ReplicationFactor == (bounds{}) && r.Owners == nil && r.Configs.Allowed == nil && r.required == nil {
		return nil, errors.New("config has no rule: name, partitions, replication_factor, configs or owners")
	}
	return r, nil
}

// check says how a topic violates the rules that hold for everybody, "" if it does not.
func (r *rules) check(t *kmsg.CreateTopicsRequestTopic) string {
	if r.Name != "" && !r.name.MatchString(t.Topic) {
		return "the name must match " + r.Name
	}
	partitions, least, most := int(t.NumPartitions), int(t.ReplicationFactor), int(t.ReplicationFactor)
	if len(t.ReplicaAssignment) > 0 {
		partitions, least, most = assigned(t.ReplicaAssignment)
	}
	if why := r.Partitions.check("partitions", partitions, r.BrokerDefaults); why != "" {
		return why
	}
	for _, n := range []int{least, most} {
		if why := r.ReplicationFactor.check("replication factor", n, r.BrokerDefaults); why != "" {
			return why
		}
	}
	return r.configs(t.Configs)
}

// assigned counts partitions and the least and most replicas of an assignment.
func assigned(a []kmsg.CreateTopicsRequestTopicReplicaAssignment) (partitions, least, most int) {
	least = len(a[0].Replicas)
	for _, p := range a {
		least, most = min(least, len(p.Replicas)), max(most, len(p.Replicas))
	}
	return len(a), least, most
}

func (b bounds) check(what string, n int, brokerDefaults bool) string {
	switch {
	case b == (bounds{}):
	case n == -1 && brokerDefaults:
	case n == -1:
		return "the " + what + " must be said: the broker's default is not allowed"
	case n < b.Min:
		return fmt.Sprintf("%s %d: at least %d", what, n, b.Min)
	case b.Max > 0 && n > b.Max:
		return fmt.Sprintf("%s %d: at most %d", what, n, b.Max)
	}
	return ""
}

func (r *rules) configs(configs []kmsg.CreateTopicsRequestTopicConfig) string {
	values := map[string]string{}
	for _, c := range configs {
		values[c.Name] = ""
		if c.Value != nil {
			values[c.Name] = *c.Value
		}
		match := func(g string) bool { ok, _ := path.Match(g, c.Name); return ok }
		if _, required := r.Configs.Required[c.Name]; r.Configs.Allowed != nil && !required && !slices.ContainsFunc(r.Configs.Allowed, match) {
			return c.Name + " may not be set; allowed: " + strings.Join(append(slices.Clone(r.Configs.Allowed), r.required...), ", ")
		}
	}
	for _, key := range r.required {
		want := r.Configs.Required[key]
		switch got, ok := values[key]; {
		case !ok && want == "*":
			return key + " must be set"
		case want != "*" && got != want:
			return key + " must be " + want
		}
	}
	return ""
}

// prefixes are those of the first owner that a client is; known is false if there are owners and it
// is none.
func (r *rules) prefixes(client, principal string) (prefixes []string, known bool) {
	for _, o := range r.Owners {
		if o.Clients.Match(client) && o.Principals.Match(principal) {
			return o.Prefixes, true
		}
	}
	return nil, len(r.Owners) == 0
}

func owned(topic string, prefixes []string, known bool) string {
	if !known {
		return "you own no prefix of topics"
	}
	if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(topic, p) }) {
		return ""
	}
	return "the name must begin with " + strings.Join(prefixes, " or ")
}
