package e2e

import (
	"encoding/json"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// auditOnKafka: a real cluster makes the topic of the audit log and takes its entries.
func (p *pair) auditOnKafka() {
	p.t.Helper()
	const topic = "__sluice_audit"
	if err := p.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {log: {audit: {cluster: dr, topic: "+topic+"}}}"); err != nil {
		p.t.Fatal(err)
	}
	p.wait("the audit log", func() bool { return p.gw.Snapshot().Telemetry.Log.Audit.Topic != "" }, func() string { return "" })
	if code, body := p.call("POST", "/topicMappings/passThroughTenant/"+p.topic, `{"clusterId": "mars"}`); code != 400 {
		p.t.Errorf("%d %s", code, body)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(p.dr.Bootstrap()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.UnknownTopicRetries(-1))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	var all []audit.Entry
	for len(all) < 2 {
		f := c.PollFetches(p.ctx)
		if p.ctx.Err() != nil {
			p.t.Fatalf("%d entries", len(all))
		}
		f.EachRecord(func(r *kgo.Record) {
			var e audit.Entry
			if err := json.Unmarshal(r.Value, &e); err != nil {
				p.t.Errorf("%v: %s", err, r.Value)
			}
			all = append(all, e)
		})
	}
	about := fact.Of(p.t, "%+v", all)
	fact.Equal(about, "all[0].Action", all[0].Action, "edit")
	fact.Equal(about, "all[0].User", all[0].User, "file")
	fact.Equal(about, "all[1].Action", all[1].Action, "set_mapping")
	fact.Equal(about, "all[1].User", all[1].User, "none")
	fact.Equal(about, "all[1].Outcome", all[1].Outcome, audit.Refused)
	fact.Has(about, all[1].Error, "mars")
}
