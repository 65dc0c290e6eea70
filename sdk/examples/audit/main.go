// Command audit is a plugin that notes who reads which topics.
package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/produce"
)

type config struct {
	Topics    conf.Globs    `json:"topics"`
	Interval  conf.Duration `json:"interval"`
	Log       bool          `json:"log"`
	Topic     string        `json:"topic"` // of audit records
	Partition int32         `json:"partition"`
}

// maxReaders is how many readers an instance counts apart: client ids are the clients' to choose.
const maxReaders = 500

type audit struct {
	config
	now     func() time.Time
	readers map[reader]*counters
	others  *counters
	failed  *sdk.Metric
}

var _ sdk.Fetcher = (*audit)(nil)

// reader is who reads what.
type reader struct {
	Client    string `json:"client"`
	Principal string `json:"principal,omitempty"`
	Topic     string `json:"topic"`
}

type counters struct{ records, bytes *sdk.Metric }

// entry is the value of an audit record.
type entry struct {
	Time time.Time `json:"time"`
	reader
	Address        string `json:"address"`
	VirtualCluster string `json:"virtual_cluster"`
	Interval       string `json:"interval"`
}

func newAudit() *audit {
	return &audit{
		config: config{Interval: conf.Duration(time.Minute), Log: true}, now: time.Now, readers: map[reader]*counters{},
		others: newCounters(reader{Client: "others"}), failed: sdk.NewCounter("audit_failed_total", nil),
	}
}

func newCounters(r reader) *counters {
	labels := map[string]string{"client": r.Client, "principal": r.Principal, "topic": r.Topic}
	return &counters{sdk.NewCounter("audit_records_total", labels), sdk.NewCounter("audit_bytes_total", labels)}
}

func (a *audit) Configure(b []byte) error {
	c := a.config
	if err := sdk.ReadConfig(b, &c); err != nil {
		return err
	}
	if time.Duration(c.Interval) < time.Second {
		return errors.New("config.interval must be at least 1s")
	}
	if !c.Log && c.Topic == "" {
		return errors.New("config: with log: false a topic must be named, or nobody is told")
	}
	a.config = c
	return nil
}

func (a *audit) OnFetch(r *sdk.Records) error {
	who := reader{Client: r.ClientID(), Principal: r.Principal()}
	for g := range r.Groups() {
		who.Topic = g.Topic()
		if who.Topic == a.Topic || !a.Topics.Match(who.Topic) {
			continue
		}
		var bytes int
		for rec := range g.Records() {
			bytes += len(rec.Key()) + len(rec.Value())
		}
		c := a.counters(who)
		c.records.Add(r.Gateway(), float64(g.Len()))
		c.bytes.Add(r.Gateway(), float64(bytes))
		if a.due(r.Gateway(), who) {
			a.tell(r, who)
		}
	}
	return nil
}

func (a *audit) counters(who reader) *counters {
	c := a.readers[who]
	if c == nil {
		if len(a.readers) >= maxReaders {
			return a.others
		}
		c = newCounters(who)
		a.readers[who] = c
	}
	return c
}

// due reports whether this is the first read of an interval, over all instances. In doubt it is.
func (a *audit) due(gw *sdk.Gateway, who reader) bool {
	err := gw.CompareAndSet("audit/"+who.Client+"\x00"+who.Principal+"\x00"+who.Topic, nil, []byte{1}, time.Duration(a.Interval))
	return !errors.Is(err, sdk.ErrChanged)
}

// tell writes the line and the record. Consumers don't wait for an audit topic that can't be
// written.
func (a *audit) tell(r *sdk.Records, who reader) {
	gw := r.Gateway()
	if a.Log {
		gw.Logf(sdk.Info, "%q (principal %q, %s) reads %s", who.Client, who.Principal, r.Address(), who.Topic)
	}
	if a.Topic == "" {
		return
	}
	now := a.now()
	value, err := json.Marshal(entry{now.UTC(), who, r.Address(), r.VirtualCluster(), time.Duration(a.Interval).String()})
	if err == nil {
		timeout := max(r.Deadline().Sub(now)/2, time.Millisecond)
		err = produce.Send(gw, a.Topic, a.Partition, timeout, []produce.Record{{Key: []byte(who.Topic), Value: value, Timestamp: now}})
	}
	if err != nil {
		a.failed.Add(gw, 1)
		gw.Logf(sdk.Fault, "no audit record of %q reading %s: %v", who.Client, who.Topic, err)
	}
}

func init() {
	sdk.Register(sdk.New("audit", newAudit(), sdk.Version("1.0.0"), sdk.Needs("kv", "send_request")))
}

func main() {}
