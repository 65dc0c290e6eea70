package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// answers counts what brokers answered to sessions' requests, by API and error code.
type answers [kmsg.MaxKey + 1]atomic.Pointer[apiAnswers]

type apiAnswers struct {
	good      atomic.Int64
	none      atomic.Int64
	throttled atomic.Int64 // time.Duration
	codes     sync.Map     // kafka.Code -> *atomic.Int64
}

// Answers is what the brokers of a cluster answered to sessions' requests of one API.
type Answers struct {
	Key kmsg.Key
	// Codes counts the answers by their first error code, 0 for those without one.
	Codes map[kafka.Code]int64
	// None are requests that got no answer: the link broke, or what came was refused.
	None int64
	// Throttled is for how long brokers have had clients wait, since they are over a quota.
	Throttled time.Duration
}

// count counts an answer as it came in; nil is none.
func (a *answers) count(key kmsg.Key, body *kafka.ResponseBody) {
	p := a[key].Load()
	if p == nil {
		a[key].CompareAndSwap(nil, &apiAnswers{})
		p = a[key].Load()
	}
	if body == nil {
		p.none.Add(1)
		return
	}
	if d := body.Throttled(); d > 0 {
		p.throttled.Add(int64(d))
	}
	code := body.Outcome()
	if code == 0 {
		p.good.Add(1)
		return
	}
	n, ok := p.codes.Load(code)
	if !ok {
		n, _ = p.codes.LoadOrStore(code, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

// Answers lists the APIs that sessions have asked the cluster for.
func (c *Cluster) Answers() (out []Answers) {
	for k := range c.answers {
		p := c.answers[k].Load()
		if p == nil {
			continue
		}
		a := Answers{Key: kmsg.Key(k), Codes: map[kafka.Code]int64{}, None: p.none.Load(), Throttled: time.Duration(p.throttled.Load())}
		if n := p.good.Load(); n > 0 {
			a.Codes[0] = n
		}
		p.codes.Range(func(code, n any) bool {
			a.Codes[code.(kafka.Code)] = n.(*atomic.Int64).Load()
			return true
		})
		out = append(out, a)
	}
	return out
}
