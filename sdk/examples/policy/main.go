// Command policy is a plugin that says which topics may be created.
package main

import (
	"encoding/json"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
)

// stateMax is what a request may leave for its response; see ABI.md.
const stateMax = 4096

type policy struct{ rules *rules }

func (p *policy) Configure(b []byte) error {
	r, err := newRules(b)
	if err == nil {
		p.rules = r
	}
	return err
}

// refusal is a topic that is not forwarded, and why. It waits in the request's state for the
// others' answer.
type refusal struct {
	Topic   string `json:"t"`
	Message string `json:"m"`
}

// request answers what may not be created and forwards the rest.
func (p *policy) request(r *sdk.Request, m *kmsg.CreateTopicsRequest) error {
	if p.rules == nil {
		return sdk.Errorf(sdk.PolicyViolation, "policy has no config: say which topics may be created")
	}
	var refused []refusal
	var allowed []kmsg.CreateTopicsRequestTopic
	prefixes, known := p.rules.prefixes(r.ClientID(), r.Principal())
	for _, t := range m.Topics {
		why := p.rules.check(&t)
		if why == "" {
			why = owned(t.Topic, prefixes, known)
		}
		if why == "" {
			allowed = append(allowed, t)
		} else {
			refused = append(refused, refusal{t.Topic, why})
		}
	}
	if len(refused) == 0 {
		return nil
	}
	if len(allowed) == 0 {
		answer(r, refused)
		return nil
	}
	state, err := json.Marshal(refused)
	if err != nil {
		return err
	}
	if len(state) > stateMax {
		// The answer is built from what is remembered here. If that is too much, nothing is
		// created.
		for _, t := range allowed {
			refused = append(refused, refusal{t.Topic, "not tried: too many topics beside it violate the policy; create it alone"})
		}
		answer(r, refused)
		return nil
	}
	r.SetState(state)
	m.Topics = allowed
	r.Forward(m)
	return nil
}

func answer(r *sdk.Request, refused []refusal) {
	resp := kmsg.NewCreateTopicsResponse()
	add(&resp, refused)
	r.Respond(&resp)
}

// response adds the topics that were not forwarded.
func (p *policy) response(r *sdk.Response, m *kmsg.CreateTopicsResponse) error {
	if len(r.State()) == 0 {
		return nil
	}
	var refused []refusal
	if err := json.Unmarshal(r.State(), &refused); err != nil {
		return err
	}
	add(m, refused)
	r.Forward(m)
	return nil
}

func add(m *kmsg.CreateTopicsResponse, refused []refusal) {
	for _, f := range refused {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = f.Topic, sdk.PolicyViolation, &f.Message
		m.Topics = append(m.Topics, t)
	}
}

// options are how the plugin is registered, in the gateway and in tests.
func (p *policy) options() []sdk.Option {
	return []sdk.Option{sdk.Version("1.0.0"), sdk.FailClosedOnly(), sdk.OnRequest(p.request), sdk.OnResponse(p.response)}
}

func init() {
	p := &policy{}
	sdk.Register(sdk.New("policy", p, p.options()...))
}

func main() {}
