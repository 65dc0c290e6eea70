// Command chaos is a plugin that makes some requests late and answers some with errors.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

type config struct {
	Faults []fault `json:"faults"`
}

// fault is what happens to some requests.
type fault struct {
	Percent float64       `json:"percent"`
	APIs    []string      `json:"apis"`
	Topics  conf.Globs    `json:"topics"`
	Clients conf.Globs    `json:"clients"`
	Latency conf.Duration `json:"latency"`
	Jitter  conf.Duration `json:"jitter"`
	Error   int16         `json:"error"`

	counter *sdk.Metric
}

// chaos has its chance and its sleep as fields, for tests.
type chaos struct {
	config
	roll  func() float64 // [0, 1)
	sleep func(time.Duration)
	now   func() time.Time
}

func newChaos() *chaos { return &chaos{roll: rand.Float64, sleep: time.Sleep, now: time.Now} }

func (c *chaos) Configure(b []byte) error {
	var n config
	if err := sdk.ReadConfig(b, &n); err != nil {
		return err
	}
	if len(n.Faults) == 0 {
		return errors.New("config.faults is missing: what is to go wrong")
	}
	for i := range n.Faults {
		if err := n.Faults[i].check(); err != nil {
			return fmt.Errorf("config.faults[%d]%w", i, err)
		}
	}
	c.config = n
	return nil
}

func (f *fault) check() error {
	switch {
	case f.Percent <= 0 || f.Percent > 100:
		return errors.New(".percent must be above 0 and at most 100")
	case f.Latency == 0 && f.Jitter == 0 && f.Error == 0:
		return errors.New(" needs latency, jitter or error: what happens")
	case f.Error < 0:
		return errors.New(".error must be a number of Kafka's error codes above 0")
	}
	for _, api := range f.APIs {
		if !slices.Contains(apis, api) {
			return fmt.Errorf(".apis: %q is not one of %s", api, strings.Join(apis, ", "))
		}
		if len(f.Topics) > 0 && api != produce && api != fetch {
			return fmt.Errorf(".topics: only %s and %s are chosen by topic, not %s", produce, fetch, api)
		}
	}
	f.counter = sdk.NewCounter("chaos_total", map[string]string{"apis": strings.Join(f.APIs, ",")})
	return nil
}

func (c *chaos) OnProduce(r *sdk.Records) error { return c.records(produce, r) }

func (c *chaos) OnFetch(r *sdk.Records) error { return c.records(fetch, r) }

func (c *chaos) records(api string, r *sdk.Records) error {
	return c.strike(api, &r.Context, func(f *fault) bool {
		for g := range r.Groups() {
			if f.Topics.Match(g.Topic()) {
				return true
			}
		}
		return false
	})
}

// strike does to a request what the faults say; the first with an error ends it.
func (c *chaos) strike(api string, ctx *sdk.Context, concerns func(*fault) bool) error {
	for i := range c.Faults {
		f := &c.Faults[i]
		if len(f.APIs) > 0 && !slices.Contains(f.APIs, api) || !f.Clients.Match(ctx.ClientID()) || !concerns(f) {
			continue
		}
		if c.roll()*100 >= f.Percent {
			continue
		}
		f.counter.Add(ctx.Gateway(), 1)
		c.delay(f, ctx.Deadline())
		if f.Error != 0 {
			return sdk.Errorf(f.Error, "chaos")
		}
	}
	return nil
}

// margin is left of a call's time: past its deadline a call is a failure of the plugin, not a late
// request.
const margin = 50 * time.Millisecond

func (c *chaos) delay(f *fault, deadline time.Time) {
	d := time.Duration(f.Latency) + time.Duration(c.roll()*float64(f.Jitter))
	if d = min(d, deadline.Sub(c.now())-margin); d > 0 {
		c.sleep(d)
	}
}

func init() {
	c := newChaos()
	sdk.Register(sdk.New("chaos", c, c.options()...))
}

func main() {}
