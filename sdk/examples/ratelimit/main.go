// Command ratelimit is a plugin that limits the records and bytes that clients produce per second.
package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

// requestTimedOut is the code that makes every client wait and try again; see README.md.
const requestTimedOut int16 = 7

type config struct {
	Per    string  `json:"per"` // client, principal
	Limits []limit `json:"limits"`
}

// limit is that of each client that matches; 0 is none.
type limit struct {
	Match   conf.Globs    `json:"match"`
	Records float64       `json:"records"` // per second
	Bytes   float64       `json:"bytes"`   // per second
	Burst   conf.Duration `json:"burst"`

	refused *sdk.Metric
}

type ratelimit struct {
	config
	now func() time.Time
}

func (l *ratelimit) Configure(b []byte) error {
	c := config{Per: "client"}
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if c.Per != "client" && c.Per != "principal" {
		return fmt.Errorf("config.per: %q is not one of client, principal", c.Per)
	}
	if len(c.Limits) == 0 {
		return errors.New("config.limits is missing: who may send how much")
	}
	for i := range c.Limits {
		m := &c.Limits[i]
		if m.Records < 0 || m.Bytes < 0 || m.Records == 0 && m.Bytes == 0 {
			return fmt.Errorf("config.limits[%d] needs records or bytes, above 0", i)
		}
		if m.Burst == 0 {
			m.Burst = conf.Duration(time.Second)
		}
		m.refused = sdk.NewCounter("ratelimit_refused_total", map[string]string{"match": strings.Join(m.Match, ",")})
	}
	l.config = c
	return nil
}

func (l *ratelimit) OnProduce(r *sdk.Records) error {
	who := r.ClientID()
	if l.Per == "principal" {
		who = r.Principal()
	}
	for i := range l.Limits {
		if m := &l.Limits[i]; m.Match.Match(who) {
			return l.charge(m, who, r)
		}
	}
	return nil
}

func (l *ratelimit) charge(m *limit, who string, r *sdk.Records) error {
	b := bucket{key: l.Per + "\x00" + who, now: l.now(), burst: time.Duration(m.Burst)}
	var records, bytes time.Duration
	if m.Records > 0 {
		records = seconds(float64(r.Len()) / m.Records)
	}
	if m.Bytes > 0 {
		bytes = seconds(size(r) / m.Bytes)
	}
	wait, err := b.take(r.Gateway(), records, bytes)
	if err != nil {
		// A limit is no reason to stop producers.
		r.Gateway().Logf(sdk.Warn, "the rate of %q can't be counted: %v", who, err)
		return nil
	}
	if wait > 0 {
		m.refused.Add(r.Gateway(), 1)
		return sdk.Errorf(requestTimedOut, "%q is above its rate: free again in %v", who, wait.Round(time.Millisecond))
	}
	return nil
}

func size(r *sdk.Records) float64 {
	n := 0
	for _, rec := range r.All() {
		n += len(rec.Key()) + len(rec.Value())
		for k, v := range rec.Headers() {
			n += len(k) + len(v)
		}
	}
	return float64(n)
}

// maxDebt is what one request costs at most, however low the rate.
const maxDebt = 60 * 60

func seconds(s float64) time.Duration { return time.Duration(min(s, maxDebt) * float64(time.Second)) }

func init() {
	sdk.Register(sdk.New("ratelimit", &ratelimit{now: time.Now}, sdk.Version("1.0.0"), sdk.Needs("kv")))
}

func main() {}
