package gateway

import (
	"cmp"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Labels of metrics. Clients are not among them, and topics only those that telemetry.metrics.topics names, so that the
// number of series is bounded by the configuration and by Kafka's APIs and error codes.
const (
	byVirtualCluster = attribute.Key("virtual_cluster")
	byAPI            = attribute.Key("api")
	byError          = attribute.Key("error")
	byCluster        = attribute.Key("cluster")
	byPhase          = attribute.Key("phase")
	byBlock          = attribute.Key("blocked_by")
	byPlanned        = attribute.Key("planned")
	byInterceptor    = attribute.Key("interceptor")
	byGuest          = attribute.Key("guest")
	byRevision       = attribute.Key("revision")
	byTopic          = attribute.Key("topic")
	byPartition      = attribute.Key("partition")
	byPart           = attribute.Key("part")
	byVersion        = attribute.Key("version")
	byCommit         = attribute.Key("commit")
	byGo             = attribute.Key("go")
	byHome           = attribute.Key("home")
	byReason         = attribute.Key("reason")
)

// metricTable is every metric of the gateway. METRICS.md beside this file is made from it.
type metricTable struct {
	requests, in, out, errors, redirects                              telemetry.Metric
	duration, ownTime, upstreamTime, heldTime, queuedTime             telemetry.Metric
	sessions, inFlight                                                telemetry.Metric
	upstream, links, reachable                                        telemetry.Metric
	interceptor, interceptorFailures                                  telemetry.Metric
	moves, moved, paused, lost, waits                                 telemetry.Metric
	readyTopics, ready                                                telemetry.Metric
	lag, delta, comparedFrom, comparedTo, comparedAt, holes           telemetry.Metric
	guestCalls, guestFailures, guestReplaced, guestBusy, guestLeft    telemetry.Metric
	guestOpened, guestClosed, guestSwaps, guestFailedSwaps            telemetry.Metric
	guestMemory, guestInstances, guestDropped, revision, reloaded, ok telemetry.Metric
	memory, memoryLimit, started, refused, panics                     telemetry.Metric
	accessDropped, auditDropped, auditWaiting, broken, built          telemetry.Metric
}

func newMetricTable() *metricTable {
	api, vc, guest := []attribute.Key{byVirtualCluster, byAPI}, []attribute.Key{byVirtualCluster}, []attribute.Key{byVirtualCluster, byGuest}
	copies := []attribute.Key{byVirtualCluster, byTopic, byPartition, byCluster}
	metric := func(kind telemetry.Kind) func(name, unit, help string, labels ...attribute.Key) telemetry.Metric {
		return func(name, unit, help string, labels ...attribute.Key) telemetry.Metric {
			return telemetry.Metric{Name: "sluice." + name, Kind: kind, Unit: unit, Help: help, Labels: labels}
		}
	}
	counter, gauge := metric(telemetry.Counter), metric(telemetry.Gauge)
	durations := func(name, help string, labels ...attribute.Key) telemetry.Metric {
		return metric(telemetry.Durations)(name, "s", help, labels...)
	}
	fine := func(name, help string, labels ...attribute.Key) telemetry.Metric {
		m := durations(name, help, labels...)
		m.Fine = true
		return m
	}
	return &metricTable{
		requests:       counter("requests", "", "Requests that were answered.", api...),
		in:             counter("request.size", "By", "Bytes of the requests that were answered.", api...),
		out:            counter("response.size", "By", "Bytes of answers.", api...),
		errors:         counter("errors", "", "Answers with an error, by their first Kafka error. Answers that no interceptor looks into are not counted.", byVirtualCluster, byAPI, byError),
		redirects:      counter("redirects", "", "Answers with a code of the normal run of the protocol and no error, such as NOT_LEADER_OR_FOLLOWER while a leader changes or REBALANCE_IN_PROGRESS.", byVirtualCluster, byAPI, byError),
		duration:       durations("request.duration", "From the arrival of a request until its answer is due to be written: the sum of the four below.", api...),
		ownTime:        fine("request.gateway.duration", "The part of request.duration in the gateway itself, its questions about leaders and coordinators included.", api...),
		upstreamTime:   durations("request.upstream.duration", "The part of request.duration while a part of the request was at a cluster, of requests that went to one.", api...),
		heldTime:       durations("request.held.duration", "The part of request.duration while the request waited and no part of it was at a cluster, of requests that waited a millisecond or more: for a move, a leader or a cluster.", api...),
		queuedTime:     durations("request.queued.duration", "The part of request.duration while the answer was there and an earlier answer of its connection was not, of requests that were overtaken so: Kafka answers in order.", api...),
		sessions:       gauge("sessions", "", "Connections of clients.", vc...),
		inFlight:       gauge("in_flight.requests", "", "Requests that are not answered yet.", vc...),
		upstream:       durations("upstream.duration", "From queueing a request for a broker until its answer; each part of a request that is divided counts.", byCluster),
		links:          gauge("links", "", "Connections of sessions to brokers of the cluster.", byCluster),
		reachable:      gauge("cluster.reachable", "", "1 if a broker of the cluster answers, else 0.", byCluster),
		interceptor:    fine("interceptor.duration", "Own time of an interceptor per request, without what is below it and without waits. One request in 32 is measured and counts for 32.", byVirtualCluster, byInterceptor),
		refused:        counter("cluster.refused.responses", "", "Responses of brokers that were refused since they were no messages of Kafka, or said nonsense of their cluster.", byCluster),
		panics:         counter("panics", "", "Panics that were caught outside of interceptors. Each is in the log with its stack; please report it."),
		moves:          gauge("moves", "", "Moves that have not ended, by phase; pending ones wait for what GET /moves says.", byVirtualCluster, byPhase),
		moved:          gauge("moves.ended", "", "Moves that have ended, of the last 1,000 of all runs of the gateway, by their last phase: done, or dropped for a newer edit.", byVirtualCluster, byPhase, byPlanned),
		paused:         gauge("move.pause", "s", "How long the last move that was done held produces.", vc...),
		waits:          gauge("move.open.age", "s", "How long the oldest move that has not ended is open, by the kind of what blocks it; none: nothing has refused it.", byVirtualCluster, byBlock),
		lost:           gauge("move.possible_loss", "", "Records that unplanned moves may have lost and that nobody has acknowledged.", vc...),
		readyTopics:    gauge("failover.topics", "", "Topics that live on home and could fail over to cluster now: ready, or unplanned, which loses what the copy lacks, while the home does not answer; or not, by the kind of what would refuse the move, as in blocked_by. Looked at every 10 s, settings, rights and transactions that hang every minute; of the records that a move compares, the last ones were compared.", byVirtualCluster, byHome, byCluster, byReason),
		ready:          gauge("failover.ready", "", "1 if a topic could fail over to cluster now, else 0, with the reason as in failover.topics, of the topics that telemetry.metrics.topics names.", byVirtualCluster, byTopic, byCluster, byReason),
		lag:            gauge("copy.lag", "", "Records that a copy on another cluster lacks, of the topics that telemetry.metrics.topics names. Asked every 10 s, like all of copy; absent while it is not known.", copies...),
		delta:          gauge("copy.delta", "", "Offsets of a copy minus those at home of the same records, as last verified.", copies...),
		comparedFrom:   gauge("copy.compared.from", "", "The first virtual offset of the records that were last compared with the copy.", copies...),
		comparedTo:     gauge("copy.compared.to", "", "The virtual offset behind the records that were last compared with the copy.", copies...),
		comparedAt:     gauge("copy.compared.time", "s", "When the last records of the copy were last found to be those at home, as Unix time; 0 if they were not, or differ now.", byVirtualCluster, byTopic, byCluster),
		holes:          gauge("topic.holes", "", "Virtual offsets without records that unplanned moves have left.", byVirtualCluster, byTopic, byPartition),
		guestCalls:     counter("guest.calls", "", "Calls of a WASM guest.", guest...),
		guestFailures:  counter("guest.failures", "", "Calls that failed in the guest: a limit, a panic, a wrong answer.", guest...),
		guestReplaced:  counter("guest.replaced.instances", "", "Instances that were thrown away after a failure.", guest...),
		guestBusy:      counter("guest.busy", "s", "Time in calls, the wait for an instance included.", guest...),
		guestLeft:      gauge("guest.left_alone", "", "With how many clients' partitions and APIs a guest is not called, since it has failed with them too often.", guest...),
		guestOpened:    counter("guest.left_alone.begun", "", "How often a guest was left alone with a client's partition or API, after five failures in 10 s.", guest...),
		guestClosed:    counter("guest.left_alone.ended", "", "How often that has ended, when a trial worked.", guest...),
		guestSwaps:     counter("guest.swaps", "", "Versions and settings of a guest that others took the place of; counted when their last call has returned.", guest...),
		guestMemory:    gauge("guest.instance.memory", "By", "Memory of the largest instance.", guest...),
		guestInstances: gauge("guest.instances", "", "Instances of a guest.", guest...),
		guestDropped:   counter("guest.dropped.log_lines", "", "Lines of the log beyond the limit.", guest...),
		revision:       gauge("config.info", "", "1, with the revision of the configuration in force.", byRevision),
		reloaded:       gauge("config.last_reload.time", "s", "When the file was last applied or refused, as Unix time; 0 before the first change."),
		ok:             gauge("config.last_reload.successful", "", "1 if the last change of the file was applied, 0 if it was refused."),
		memory:         gauge("request.memory", "By", "Bytes of requests that are not answered yet, and of answers that are not written yet; past the limit, sessions stop reading."),
		memoryLimit:    gauge("request.memory.limit", "By", "limits.process_bytes, or what it is by default."),
		accessDropped:  counter("access_log.dropped.lines", "", "Lines of the access log that were dropped, since they came faster than they could be written."),
		auditDropped:   counter("audit_log.dropped.entries", "", "Entries of the audit log that were dropped, since their file or topic has failed for long."),
		auditWaiting:   gauge("audit_log.waiting.entries", "", "Entries of the audit log that are not written yet."),
		broken:         gauge("part.broken", "", "1 while what a part of a virtual cluster is made from is broken or gone: the module or image of a guest, the certificate of listen.tls; or of all: what ${file:path} or ${env:NAME} refers to. What was made before goes on.", byVirtualCluster, byPart),
		built:          gauge("build.info", "", "1, with the build of the gateway.", byVersion, byCommit, byGo),
		started:        gauge("start.time", "s", "When the gateway started, as Unix time."),

		interceptorFailures: counter("interceptor.failures", "", "Errors of requests that came from an interceptor and not from below it, panics included.", byVirtualCluster, byInterceptor),
		guestFailedSwaps:    counter("guest.failed_swaps", "", "Versions and settings of a guest that were refused; those in force stayed.", guest...),
	}
}

// collector takes samples.
type collector struct {
	table      *metricTable
	out        []telemetry.Sample
	ownMetrics map[string]*telemetry.Metric // that guests keep, by name
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
	c.add(&t.memory, float64(g.memory.Used()))
	c.add(&t.memoryLimit, float64(g.memory.Limit()))
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
		}
	}
	for _, v := range g.virtuals() {
		open := 0
		for _, s := range v.server.Clients() {
			open += s.InFlight
		}
		c.add(&t.sessions, float64(v.server.Sessions()), v.name)
		c.add(&t.inFlight, float64(open), v.name)
		for _, a := range v.server.Traffic() {
			c.traffic(v.name, a)
		}
		c.interceptors(v)
		c.readiness(v, g.runner.Readiness(v.name), snap.Telemetry.Metrics.Topics)
	}
	for _, b := range g.broken() {
		c.add(&t.broken, 1, b.VirtualCluster, b.Part)
	}
	if all := g.standings.Load(); all != nil {
		for _, s := range *all {
			c.standing(s)
		}
	}
	c.moves(g.runner.Moves())
	return c.out
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
		c.add(into, float64(n), vc, a.Name, kafka.ErrorName(code))
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
	seen, guests := map[*plugin.Cost]bool{}, map[string]bool{}
	for _, m := range v.runtime().chain.All() {
		if !seen[m.Cost] {
			seen[m.Cost] = true
			c.durations(&c.table.interceptor, m.Cost.Own.Read(), v.name, m.Name)
			c.add(&c.table.interceptorFailures, float64(m.Cost.Failures.Load()), v.name, m.Name)
		}
		if r, ok := m.Interceptor.(plugin.Measured); ok {
			if g := r.Measure(); !guests[g.Name] {
				guests[g.Name] = true
				c.guest(v.name, g)
				c.own(v.name, g.Name, g.Own)
			}
		}
	}
}

func (c *collector) guest(vc string, m plugin.Measures) {
	t := c.table
	c.add(&t.guestCalls, float64(m.Calls), vc, m.Name)
	c.add(&t.guestFailures, float64(m.Failures), vc, m.Name)
	c.add(&t.guestReplaced, float64(m.Replaced), vc, m.Name)
	c.add(&t.guestBusy, m.Busy.Seconds(), vc, m.Name)
	c.add(&t.guestLeft, float64(m.LeftAlone), vc, m.Name)
	c.add(&t.guestOpened, float64(m.Opened), vc, m.Name)
	c.add(&t.guestClosed, float64(m.Closed), vc, m.Name)
	c.add(&t.guestSwaps, float64(m.Swaps), vc, m.Name)
	c.add(&t.guestFailedSwaps, float64(m.FailedSwaps), vc, m.Name)
	c.add(&t.guestMemory, float64(m.InstanceBytes), vc, m.Name)
	c.add(&t.guestInstances, float64(m.Instances), vc, m.Name)
	c.add(&t.guestDropped, float64(m.DroppedLines), vc, m.Name)
}

// standing tells of topics what is known.
func (c *collector) standing(s standing) {
	t := c.table
	for _, x := range s.topics {
		for p, part := range x.Topic.Partitions {
			c.add(&t.holes, float64(part.Holes()), s.virtualCluster, x.Topic.Name, strconv.Itoa(p))
		}
		for _, k := range x.Copies {
			at := k.Compared
			if k.Problem != "" {
				at = time.Time{}
			}
			c.add(&t.comparedAt, unix(at), s.virtualCluster, x.Topic.Name, k.Cluster)
			for p, y := range k.Partitions {
				labels := []string{s.virtualCluster, x.Topic.Name, strconv.Itoa(p), k.Cluster}
				if y.Known {
					c.add(&t.delta, float64(y.Delta), labels...)
				}
				if y.Lag >= 0 {
					c.add(&t.lag, float64(y.Lag), labels...)
				}
				if y.ComparedFrom >= 0 {
					c.add(&t.comparedFrom, float64(y.ComparedFrom), labels...)
					c.add(&t.comparedTo, float64(y.ComparedTo), labels...)
				}
			}
		}
	}
}

func (c *collector) moves(all []failover.Report) {
	t := c.table
	oldest := map[[2]string]time.Duration{}
	type ended struct{ vc, phase, planned string }
	open, closed := map[[2]string]int{}, map[ended]int{}
	last, lost := map[string]failover.Report{}, map[string]int64{}
	for _, m := range all {
		if m.Ended.IsZero() {
			open[[2]string{m.VirtualCluster, string(m.Phase)}]++
			k := [2]string{m.VirtualCluster, cmp.Or(string(m.BlockedBy), "none")}
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
