package gateway

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// collector takes samples.
type collector struct {
	table *metricTable
	out   []telemetry.Sample
}

func (c *collector) add(m *telemetry.Metric, value float64, labels ...string) {
	c.out = append(c.out, telemetry.Sample{Metric: m, Values: labels, Value: value})
}

func (c *collector) durations(m *telemetry.Metric, r telemetry.Reading, labels ...string) {
	c.out = append(c.out, telemetry.Sample{Metric: m, Values: labels, Latency: r.Histogram, Sum: r.Sum})
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// collect reads everything that is counted.
func (g *Gateway) collect() []telemetry.Sample {
	t := g.table
	c := &collector{table: t}
	l, reload := g.now(), g.lastReload()
	snap := l.snap
	if snap == nil {
		return nil
	}
	c.add(&t.revision, 1, snap.Revision)
	c.add(&t.ok, flag(reload.Error == ""))
	c.add(&t.reloaded, unix(reload.At))
	c.add(&t.built, 1, g.madeOf.Version, g.madeOf.Revision, g.madeOf.Go)
	c.add(&t.started, unix(g.started))
	c.add(&t.inForce, unix(l.since))
	c.add(&t.spansLost, float64(l.tracer.get().Lost()))
	connections, most := g.files.Use()
	c.add(&t.connections, float64(connections))
	c.add(&t.connectionsLimit, float64(most))
	if open, limit := server.FilesInUse(), server.OpenFiles(); open > 0 && limit > 0 {
		c.add(&t.files, float64(open))
		c.add(&t.filesLimit, float64(limit))
	}
	c.add(&t.memory, float64(g.memory.Used()))
	c.add(&t.memoryLimit, float64(g.memory.Limit()))
	waiting, waits := g.memory.Waiting()
	c.add(&t.memoryWaiting, float64(waiting))
	c.add(&t.memoryWaits, float64(waits))
	c.add(&t.accessDropped, float64(l.access.get().Dropped()))
	c.add(&t.auditDropped, float64(l.audit.get().Dropped()))
	c.add(&t.auditWaiting, float64(l.audit.get().Waiting()))
	c.add(&t.panics, float64(guard.Panics()))
	for _, cfg := range snap.Clusters {
		if k := l.clusters[cfg.Name]; k != nil {
			c.add(&t.reachable, flag(k.Reachable()), cfg.Name)
			c.add(&t.refused, float64(k.Refused()), cfg.Name)
			c.add(&t.links, float64(k.Links()), cfg.Name)
			c.durations(&t.upstream, k.Latency(), cfg.Name)
			c.upstream(cfg.Name, k.Answers())
		}
	}
	var moving []string
	for _, v := range g.virtuals() {
		if v.runtime().chain.Placement() != nil {
			moving = append(moving, v.name)
		}
		c.clients(v)
		if at := v.runtime().certificate.expires(); !at.IsZero() {
			c.add(&t.certificate, unix(at), v.name)
		}
		apis := v.server.Traffic()
		for _, a := range apis {
			c.traffic(v.name, a)
		}
		c.waits(v, apis)
		c.interceptors(v)
		c.watched(v, snap.Telemetry.Metrics)
		if age := g.standing.LongestUnasked(v.name); age > 0 {
			c.add(&t.copiesUnasked, age.Seconds(), v.name)
		}
		if round, ok := g.standing.Round(v.name); ok {
			c.add(&t.copiesPeriod, round.Period.Seconds(), v.name)
			c.add(&t.copiesWaiting, float64(round.Waiting), v.name)
		}
		c.mirrored(v)
		c.fenced(v, g.runner)
		c.readiness(v, g.standing.Readiness(v.name), snap.Telemetry.Metrics.Topics)
	}
	for _, b := range g.broken() {
		c.add(&t.broken, 1, b.VirtualCluster, b.Part)
	}
	if all := g.ownSeries.Load(); all != nil {
		for _, s := range *all {
			c.standing(s, g.standing)
			c.groups(s)
			for _, d := range s.damages {
				c.damage(s.virtualCluster, d)
			}
		}
	}
	c.moves(g.runner.Moves(), moving)
	return c.out
}

// clients counts connections, and what they have asked and not been answered.
func (c *collector) clients(v *virtual) {
	t, open := c.table, 0
	for _, s := range v.server.Clients() {
		open += s.InFlight
	}
	c.add(&t.sessions, float64(v.server.Sessions()), v.name)
	c.add(&t.sessionsLimit, float64(v.runtime().server.Limits.Connections), v.name)
	for i, n := range v.server.Refused() {
		c.add(&t.sessionsRefused, float64(n), v.name, server.Refusals[i])
	}
	c.add(&t.inFlight, float64(open), v.name)
}

// fenced tells where fences stand.
func (c *collector) fenced(v *virtual, by *failover.Runner) {
	rt := v.runtime()
	standing, lifting := by.Fences(v.name, rt.env.Catalog)
	for _, k := range rt.env.Clusters {
		c.add(&c.table.fences, float64(standing[k.Name()]), v.name, k.Name(), "false")
		c.add(&c.table.fences, float64(lifting[k.Name()]), v.name, k.Name(), "true")
	}
}

// waits tells of the requests that wait.
func (c *collector) waits(v *virtual, apis []server.APITraffic) {
	t, oldest := c.table, time.Duration(0)
	held := v.server.Held()
	for _, a := range apis {
		now, waits := held[a.Key]
		if c.add(&t.held, float64(now.Requests), v.name, a.Name); waits {
			oldest = max(oldest, time.Since(now.Oldest))
		}
		delete(held, a.Key)
	}
	for key, now := range held { // of which none was answered yet
		c.add(&t.held, float64(now.Requests), v.name, kmsg.NameForKey(int16(key)))
		oldest = max(oldest, time.Since(now.Oldest))
	}
	c.add(&t.heldOldest, oldest.Seconds(), v.name)
	env, byHome := v.runtime().env, map[string]int{}
	for topic, n := range v.gates.Waiting() {
		if x := env.Catalog.Topic(topic); x != nil {
			byHome[x.Home] += n
		}
	}
	for _, k := range env.Clusters {
		c.add(&t.gateWaiting, float64(byHome[k.Name()]), v.name, k.Name())
	}
}

// upstream tells what a cluster has answered.
func (c *collector) upstream(cluster string, all []upstream.Answers) {
	t := c.table
	for _, a := range all {
		api := kmsg.NameForKey(int16(a.Key))
		for code, n := range a.Codes {
			c.add(&t.answers, float64(n), cluster, api, cmp.Or(code.Name(), "NONE"))
		}
		c.add(&t.unanswered, float64(a.None), cluster, api)
		c.add(&t.throttled, a.Throttled.Seconds(), cluster, api)
	}
}

// unix is a time in seconds, 0 for none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (c *collector) traffic(vc string, a server.APITraffic) {
	t := c.table
	c.add(&t.requests, float64(a.Requests), vc, a.Name)
	c.add(&t.in, float64(a.In), vc, a.Name)
	c.add(&t.out, float64(a.Out), vc, a.Name)
	for code, n := range a.Errors {
		into := &t.errors
		if kafka.Ordinary(a.Key, code) {
			into = &t.redirects
		}
		c.add(into, float64(n), vc, a.Name, code.Name())
	}
	c.durations(&t.duration, a.Latency, vc, a.Name)
	c.durations(&t.ownTime, a.Gateway, vc, a.Name)
	for m, r := range map[*telemetry.Metric]telemetry.Reading{&t.upstreamTime: a.Upstream, &t.heldTime: a.Held, &t.queuedTime: a.Queued} {
		if len(r.Histogram) > 0 {
			c.durations(m, r, vc, a.Name)
		}
	}
}

// interceptors counts each name once: one that stands in a chain twice is counted together.
func (c *collector) interceptors(v *virtual) {
	seen, told := map[*chain.Cost]bool{}, map[string]bool{}
	for _, m := range v.runtime().chain.All() {
		if !seen[m.Cost] {
			seen[m.Cost] = true
			c.durations(&c.table.interceptor, m.Cost.Own.Read(), v.name, m.Name)
			c.add(&c.table.interceptorFailures, float64(m.Cost.Failures.Load()), v.name, m.Name)
		}
		if x, ok := m.Interceptor.(plugin.Metered); ok {
			c.samples(v.name, x.Samples(), told)
		}
	}
}

// samples adds what an interceptor tells, but for the series that were told.
func (c *collector) samples(vc string, all []telemetry.Sample, told map[string]bool) {
	for _, s := range all {
		series := fmt.Sprint(s.Metric.Name, s.Values, s.Labels)
		if told[series] {
			continue
		}
		told[series] = true
		s.Values = append([]string{vc}, s.Values...)
		c.out = append(c.out, s)
	}
}

// unblocked is the kind of moves that nothing has refused.
const unblocked block.Kind = "none"

func (c *collector) moves(all []failover.Report, moving []string) {
	t := c.table
	// Each kind has a series, as in readiness, so that a move that has ended is seen to have where
	// series don't go stale at once.
	oldest := map[[2]string]time.Duration{}
	for _, vc := range moving {
		for _, by := range append([]block.Kind{unblocked}, block.Kinds...) {
			oldest[[2]string{vc, string(by)}] = 0
		}
	}
	type ended struct{ vc, phase, planned string }
	open, closed := map[[2]string]int{}, map[ended]int{}
	last, lost := map[string]failover.Report{}, map[string]int64{}
	for _, m := range all {
		if m.Ended.IsZero() {
			open[[2]string{m.VirtualCluster, string(m.Phase)}]++
			k := [2]string{m.VirtualCluster, string(cmp.Or(m.BlockedBy, unblocked))}
			oldest[k] = max(oldest[k], time.Since(m.Since))
			continue
		}
		closed[ended{m.VirtualCluster, string(m.Phase), strconv.FormatBool(m.Planned)}]++
		if m.Phase == failover.Done {
			last[m.VirtualCluster] = m
		}
		if m.Stands() {
			lost[m.VirtualCluster] += m.Lost()
		}
	}
	for k, n := range open {
		c.add(&t.moves, float64(n), k[0], k[1])
	}
	for k, age := range oldest {
		c.add(&t.waits, age.Seconds(), k[0], k[1])
	}
	for k, n := range closed {
		c.add(&t.moved, float64(n), k.vc, k.phase, k.planned)
	}
	for vc, m := range last {
		c.add(&t.paused, float64(m.PauseMS)/1000, vc)
		c.add(&t.lost, float64(lost[vc]), vc)
	}
}
