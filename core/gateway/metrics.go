package gateway

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Labels of metrics. Neither topics nor clients are among them, so that their number is bounded by the
// configuration and by Kafka's APIs and error codes.
const (
	byVirtualCluster = attribute.Key("virtual_cluster")
	byAPI            = attribute.Key("api")
	byError          = attribute.Key("error")
	byCluster        = attribute.Key("cluster")
	byPhase          = attribute.Key("phase")
	byPlanned        = attribute.Key("planned")
	byGuest          = attribute.Key("guest")
	byRevision       = attribute.Key("revision")
)

// metricTable is every metric of the gateway. METRICS.md beside this file is made from it.
type metricTable struct {
	requests, in, out, errors, duration, sessions, inFlight, held     telemetry.Metric
	upstream, reachable                                               telemetry.Metric
	moves, moved, paused, lost                                        telemetry.Metric
	guestCalls, guestFailures, guestReplaced, guestBusy, guestLeft    telemetry.Metric
	guestMemory, guestInstances, guestDropped, revision, reloaded, ok telemetry.Metric
	memory, started, accessDropped, auditDropped, auditWaiting        telemetry.Metric
}

func newMetricTable() *metricTable {
	api, vc, guest := []attribute.Key{byVirtualCluster, byAPI}, []attribute.Key{byVirtualCluster}, []attribute.Key{byVirtualCluster, byGuest}
	counter := func(name, unit, help string, labels ...attribute.Key) telemetry.Metric {
		return telemetry.Metric{Name: "sluice." + name, Kind: telemetry.Counter, Unit: unit, Help: help, Labels: labels}
	}
	gauge := func(name, unit, help string, labels ...attribute.Key) telemetry.Metric {
		return telemetry.Metric{Name: "sluice." + name, Kind: telemetry.Gauge, Unit: unit, Help: help, Labels: labels}
	}
	durations := func(name, help string, labels ...attribute.Key) telemetry.Metric {
		return telemetry.Metric{Name: "sluice." + name, Kind: telemetry.Durations, Unit: "s", Help: help, Labels: labels}
	}
	return &metricTable{
		requests:       counter("requests", "", "Requests that were answered.", api...),
		in:             counter("request.size", "By", "Bytes of the requests that were answered.", api...),
		out:            counter("response.size", "By", "Bytes of answers.", api...),
		errors:         counter("errors", "", "Answers with an error, by their first Kafka error. Answers that no interceptor looks into are not counted.", byVirtualCluster, byAPI, byError),
		duration:       durations("request.duration", "From the arrival of a request until its answer is due to be written.", api...),
		held:           durations("held.duration", "Waits of requests in the gates of topics: for a move, or for a leader.", vc...),
		upstream:       durations("upstream.duration", "From queueing a request for a broker until its answer.", byCluster),
		sessions:       gauge("sessions", "", "Connections of clients.", vc...),
		inFlight:       gauge("in_flight.requests", "", "Requests that are not answered yet.", vc...),
		reachable:      gauge("cluster.reachable", "", "1 if a broker of the cluster answers, else 0.", byCluster),
		moves:          gauge("moves", "", "Moves that have not ended, by phase; pending ones wait for what GET /moves says.", byVirtualCluster, byPhase),
		moved:          gauge("moves.ended", "", "Moves that have ended, of the last 1,000 of all runs of the gateway, by their last phase: done, or dropped for a newer edit.", byVirtualCluster, byPhase, byPlanned),
		paused:         gauge("move.pause", "s", "How long the last move that was done held produces.", vc...),
		lost:           gauge("move.possible_loss", "", "Records that the last unplanned move may have lost.", vc...),
		guestCalls:     counter("guest.calls", "", "Calls of a WASM guest.", guest...),
		guestFailures:  counter("guest.failures", "", "Calls that failed: a limit, a panic, a wrong answer.", guest...),
		guestReplaced:  counter("guest.replaced.instances", "", "Instances that were thrown away after a failure.", guest...),
		guestBusy:      counter("guest.busy", "s", "Time in calls, the wait for an instance included.", guest...),
		guestLeft:      gauge("guest.left_alone", "", "1 while a guest that fails too often is not called.", guest...),
		guestMemory:    gauge("guest.instance.memory", "By", "Memory of the largest instance.", guest...),
		guestInstances: gauge("guest.instances", "", "Instances of a guest.", guest...),
		guestDropped:   counter("guest.dropped.log_lines", "", "Lines of the log beyond the limit.", guest...),
		revision:       gauge("config.info", "", "1, with the revision of the configuration in force.", byRevision),
		reloaded:       gauge("config.last_reload.time", "s", "When the file was last applied or refused, as Unix time; 0 before the first change."),
		ok:             gauge("config.last_reload.successful", "", "1 if the last change of the file was applied, 0 if it was refused."),
		memory:         gauge("request.memory", "By", "Bytes of requests that are not answered yet; past limits.process_bytes, sessions that hold a Produce stop reading."),
		accessDropped:  counter("access_log.dropped.lines", "", "Lines of the access log that were dropped, since they came faster than they could be written."),
		auditDropped:   counter("audit_log.dropped.entries", "", "Entries of the audit log that were dropped, since their file or topic has failed for long."),
		auditWaiting:   gauge("audit_log.waiting.entries", "", "Entries of the audit log that are not written yet."),
		started:        gauge("start.time", "s", "When the gateway started, as Unix time."),
	}
}

// collector takes samples.
type collector struct{ out []telemetry.Sample }

func (c *collector) add(m *telemetry.Metric, value float64, labels ...string) {
	c.out = append(c.out, telemetry.Sample{Metric: m, Attrs: attrs(m, labels), Value: value})
}

func (c *collector) durations(m *telemetry.Metric, h telemetry.Histogram, sum time.Duration, labels ...string) {
	c.out = append(c.out, telemetry.Sample{Metric: m, Attrs: attrs(m, labels), Latency: h, Sum: sum})
}

func attrs(m *telemetry.Metric, labels []string) (out []attribute.KeyValue) {
	for i, k := range m.Labels {
		out = append(out, k.String(labels[i]))
	}
	return out
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// collect reads everything that is counted.
func (g *Gateway) collect(t *metricTable) []telemetry.Sample {
	c := &collector{}
	g.mu.Lock()
	snap, clusters, reload := g.snapshot, g.clusters, g.reload
	g.mu.Unlock()
	if snap == nil {
		return nil
	}
	c.add(&t.revision, 1, snap.Revision)
	c.add(&t.ok, flag(reload.Error == ""))
	at := 0.0
	if !reload.At.IsZero() {
		at = float64(reload.At.UnixMilli()) / 1000
	}
	c.add(&t.reloaded, at)
	c.add(&t.started, float64(g.started.UnixMilli())/1000)
	c.add(&t.memory, float64(g.memory.Used()))
	c.add(&t.accessDropped, float64(g.access.Load().Dropped()))
	c.add(&t.auditDropped, float64(g.audit.Load().Dropped()))
	c.add(&t.auditWaiting, float64(g.audit.Load().Waiting()))
	for _, cfg := range snap.Clusters {
		if k := clusters[cfg.Name]; k != nil {
			c.add(&t.reachable, flag(k.Reachable()), cfg.Name)
			h, sum := k.Latency()
			c.durations(&t.upstream, h, sum, cfg.Name)
		}
	}
	for _, v := range g.virtuals() {
		open := 0
		for _, s := range v.server.Clients() {
			open += s.InFlight
		}
		c.add(&t.sessions, float64(v.server.Sessions()), v.name)
		c.add(&t.inFlight, float64(open), v.name)
		c.durations(&t.held, v.gates.Waits.Histogram(), v.gates.Waits.Sum(), v.name)
		for _, a := range v.server.Traffic() {
			c.add(&t.requests, float64(a.Requests), v.name, a.Name)
			c.add(&t.in, float64(a.In), v.name, a.Name)
			c.add(&t.out, float64(a.Out), v.name, a.Name)
			c.durations(&t.duration, a.Latency, a.Sum, v.name, a.Name)
			for code, n := range a.Errors {
				c.add(&t.errors, float64(n), v.name, a.Name, kafka.ErrorName(code))
			}
		}
		for _, m := range v.runtime().chain.All() {
			if r, ok := m.Interceptor.(plugin.Measured); ok {
				c.guest(t, v.name, r.Measure())
			}
		}
	}
	c.moves(t, g.runner.Moves())
	return c.out
}

func (c *collector) guest(t *metricTable, vc string, m plugin.Measures) {
	c.add(&t.guestCalls, float64(m.Calls), vc, m.Name)
	c.add(&t.guestFailures, float64(m.Failures), vc, m.Name)
	c.add(&t.guestReplaced, float64(m.Replaced), vc, m.Name)
	c.add(&t.guestBusy, m.Busy.Seconds(), vc, m.Name)
	c.add(&t.guestLeft, flag(m.LeftAlone), vc, m.Name)
	c.add(&t.guestMemory, float64(m.InstanceBytes), vc, m.Name)
	c.add(&t.guestInstances, float64(m.Instances), vc, m.Name)
	c.add(&t.guestDropped, float64(m.DroppedLines), vc, m.Name)
}

func (c *collector) moves(t *metricTable, all []failover.Report) {
	type ended struct{ vc, phase, planned string }
	open, closed := map[[2]string]int{}, map[ended]int{}
	last := map[string]failover.Report{}
	for _, m := range all {
		if m.Ended.IsZero() {
			open[[2]string{m.VirtualCluster, string(m.Phase)}]++
			continue
		}
		closed[ended{m.VirtualCluster, string(m.Phase), strconv.FormatBool(m.Planned)}]++
		if m.Phase == failover.Done {
			last[m.VirtualCluster] = m
		}
	}
	for k, n := range open {
		c.add(&t.moves, float64(n), k[0], k[1])
	}
	for k, n := range closed {
		c.add(&t.moved, float64(n), k.vc, k.phase, k.planned)
	}
	for vc, m := range last {
		c.add(&t.paused, float64(m.PauseMS)/1000, vc)
		if !m.Planned {
			var lost int64
			for _, r := range m.PossibleLoss {
				lost += r.To - r.From + 1
			}
			c.add(&t.lost, float64(lost), vc)
		}
	}
}
