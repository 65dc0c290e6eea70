// Command quality is a plugin that holds the values of producers against rules.
package main

import (
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/produce"
)

// requestTimedOut is what producers try again after.
const requestTimedOut int16 = 7

type config struct {
	Rules []*rule `json:"rules"`
}

type quality struct {
	rules []*rule

	// Of one call, kept for the next.
	judged  []verdict
	letters map[string][]produce.Record // by topic
	env     env
}

// verdict is what becomes of a record.
type verdict struct {
	record sdk.Record
	marks  []*rule // that it broke, and that want a header
	broken *rule   // the first that wants more
	why    string
}

func (q *quality) Configure(b []byte) error {
	var c config
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if len(c.Rules) == 0 {
		return errors.New("config.rules is missing: what values must be like")
	}
	for i, r := range c.Rules {
		if err := r.compile(i, c.Rules[:i]); err != nil {
			return err
		}
	}
	*q = quality{rules: c.Rules, letters: map[string][]produce.Record{}}
	return nil
}

// OnProduce judges all records before it edits one: what is dropped must have reached its dead
// letter topic.
func (q *quality) OnProduce(r *sdk.Records) error {
	if q.rules == nil {
		return sdk.Errorf(sdk.PolicyViolation, "quality has no config: say which rules")
	}
	q.judged = q.judged[:0]
	clear(q.letters)
	for g := range r.Groups() {
		q.batch(r.Gateway(), g)
	}
	for topic, records := range q.letters {
		if err := produce.Send(r.Gateway(), topic, 0, timeout(time.Until(r.Deadline())), records); err != nil {
			return sdk.Errorf(requestTimedOut, "dead letters: %v", err)
		}
	}
	for _, v := range q.judged {
		v.apply()
	}
	return nil
}

// timeout leaves of the time of a call enough to answer it.
func timeout(left time.Duration) time.Duration { return max(left*3/4, time.Millisecond) }

// batch judges the records of a batch. If one is to be rejected, all are, so none is a dead letter.
func (q *quality) batch(gw *sdk.Gateway, g sdk.Group) {
	topic := g.Topic()
	var rules []*rule
	for _, r := range q.rules {
		if r.Topics.Match(topic) {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return
	}
	first := len(q.judged)
	for rec := range g.Records() {
		if rec.Value() == nil {
			continue // a tombstone has nothing to judge
		}
		v := q.judge(gw, topic, rec, rules)
		if v.broken != nil && v.broken.Action == reject {
			q.judged = append(q.judged[:first], v)
			return
		}
		if v.broken != nil || v.marks != nil {
			q.judged = append(q.judged, v)
		}
	}
	for _, v := range q.judged[first:] {
		if v.broken != nil && v.broken.Action == deadLetter {
			to := v.broken.DeadLetterTopic
			q.letters[to] = append(q.letters[to], v.letter(topic, g.Partition()))
		}
	}
}

func (q *quality) judge(gw *sdk.Gateway, topic string, rec sdk.Record, rules []*rule) verdict {
	v := verdict{record: rec}
	q.env.reset(topic, rec)
	for _, r := range rules {
		why := r.check(gw, &q.env)
		switch {
		case why == "":
			continue
		case r.Action == mark:
			v.marks = append(v.marks, r)
		default:
			v.broken, v.why = r, why
			return v
		}
	}
	return v
}

func init() {
	sdk.Register(sdk.New("quality", &quality{}, sdk.Version("1.0.0"), sdk.Needs("send_request")))
}

func main() {}
