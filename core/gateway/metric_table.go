package gateway

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Labels of metrics. Topics, groups and clients are only those that telemetry.metrics names, so
// that the number of series is bounded by the configuration and by Kafka's APIs and error codes.
const (
	byVirtualCluster = telemetry.ByVirtualCluster
	byAPI            = attribute.Key("api")
	byError          = attribute.Key("error")
	byCluster        = attribute.Key("cluster")
	byPhase          = attribute.Key("phase")
	byLift           = attribute.Key("lift")
	byBlock          = attribute.Key("blocked_by")
	byPlanned        = attribute.Key("planned")
	byInterceptor    = attribute.Key("interceptor")
	byRevision       = attribute.Key("revision")
	byTopic          = attribute.Key("topic")
	byPartition      = attribute.Key("partition")
	byPart           = attribute.Key("part")
	byVersion        = attribute.Key("version")
	byCommit         = attribute.Key("commit")
	byGo             = attribute.Key("go")
	byHome           = attribute.Key("home")
	byClient         = attribute.Key("client")
	byGroup          = attribute.Key("group")
	byReason         = attribute.Key("reason")
)

// metricTable is every metric of the gateway but those of interceptors, which their Specs list.
// METRICS.md beside this file is made from both.
type metricTable struct {
	requests, in, out, errors, redirects                                 telemetry.Metric
	duration, ownTime, upstreamTime, heldTime, queuedTime                telemetry.Metric
	sessions, sessionsLimit, sessionsRefused, inFlight                   telemetry.Metric
	connections, connectionsLimit, files, filesLimit                     telemetry.Metric
	held, heldOldest, gateWaiting                                        telemetry.Metric
	upstream, links, reachable                                           telemetry.Metric
	answers, unanswered, throttled                                       telemetry.Metric
	interceptor, interceptorFailures                                     telemetry.Metric
	moves, moved, paused, lost, waits, fences                            telemetry.Metric
	topicIn, topicOut, topicWaiting, clientRequests, clientIn, clientOut telemetry.Metric
	groupLag, groupAge, groupCopyLag                                     telemetry.Metric
	groupHomes, groupsBehind, groupsUnmirrored                           telemetry.Metric
	damaged, damageUnknown, skipped, skippedAge, repeated, repeatedAge   telemetry.Metric
	groupSkipped, groupRepeated                                          telemetry.Metric
	readyTopics, ready, copiesUnasked, copiesPeriod, copiesWaiting       telemetry.Metric
	lag, delta, comparedFrom, comparedTo, comparedAt, holes              telemetry.Metric
	lagAge, unaligned, runs, copyHoles, copySkips, wrong                 telemetry.Metric
	revision, reloaded, ok                                               telemetry.Metric
	memory, memoryLimit, memoryWaiting, memoryWaits                      telemetry.Metric
	started, refused, panics                                             telemetry.Metric
	accessDropped, auditDropped, auditWaiting, broken, built             telemetry.Metric
	inForce, certificate, spansLost                                      telemetry.Metric
}

func newMetricTable() *metricTable {
	api, vc := []attribute.Key{byVirtualCluster, byAPI}, []attribute.Key{byVirtualCluster}
	copies := []attribute.Key{byVirtualCluster, byTopic, byPartition, byCluster}
	damage := []attribute.Key{byVirtualCluster, byHome, byCluster}
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
		requests:         counter("requests", "", "Requests that were answered.", api...),
		in:               counter("request.size", "By", "Bytes of the requests that were answered.", api...),
		out:              counter("response.size", "By", "Bytes of answers.", api...),
		errors:           counter("errors", "", "Answers with an error, by their first Kafka error. Answers that no interceptor looks into are not counted.", byVirtualCluster, byAPI, byError),
		redirects:        counter("redirects", "", "Answers with a code of the normal run of the protocol and no error, such as NOT_LEADER_OR_FOLLOWER while a leader changes or REBALANCE_IN_PROGRESS.", byVirtualCluster, byAPI, byError),
		duration:         durations("request.duration", "From the arrival of a request until its answer is due to be written: the sum of the four below.", api...),
		ownTime:          fine("request.gateway.duration", "The part of request.duration in the gateway itself, its questions about leaders and coordinators included.", api...),
		upstreamTime:     durations("request.upstream.duration", "The part of request.duration while a part of the request was at a cluster, of requests that went to one.", api...),
		heldTime:         durations("request.held.duration", "The part of request.duration while the request waited and no part of it was at a cluster, of requests that waited a millisecond or more: for a move, a leader or a cluster.", api...),
		queuedTime:       durations("request.queued.duration", "The part of request.duration while the answer was there and an earlier answer of its connection was not, of requests that were overtaken so: Kafka answers in order.", api...),
		sessions:         gauge("sessions", "", "Connections of clients.", vc...),
		sessionsLimit:    gauge("sessions.limit", "", "limits.connections; 0: none.", vc...),
		inFlight:         gauge("in_flight.requests", "", "Requests that are not answered yet.", vc...),
		upstream:         durations("upstream.duration", "From queueing a request for a broker until its answer; each part of a request that is divided counts.", byCluster),
		held:             gauge("held.requests", "", "Requests that wait now for a move, a leader or a cluster; parts of a request that wait each for themselves count each.", api...),
		heldOldest:       gauge("held.oldest_age", "s", "How long ago the oldest of them came.", vc...),
		gateWaiting:      gauge("gate.waiting.requests", "", "Produces that wait now in the gates of topics that live on the cluster.", byVirtualCluster, byCluster),
		answers:          counter("upstream.responses", "", "Responses of brokers to requests of clients, by their first Kafka error; NONE for those without.", byCluster, byAPI, byError),
		unanswered:       counter("upstream.unanswered.requests", "", "Requests of clients that got no response from a broker: the connection broke, or what came was refused.", byCluster, byAPI),
		throttled:        counter("upstream.throttle", "s", "For how long brokers have had clients wait, since they were over a quota.", byCluster, byAPI),
		links:            gauge("links", "", "Connections of sessions to brokers of the cluster.", byCluster),
		reachable:        gauge("cluster.reachable", "", "1 if a broker of the cluster answers, else 0.", byCluster),
		interceptor:      fine("interceptor.duration", "Own time of an interceptor per request, without what is below it and without waits. One request in 32 is measured and counts for 32.", byVirtualCluster, byInterceptor),
		refused:          counter("cluster.refused.responses", "", "Responses of brokers that were refused since they were no messages of Kafka, or said nonsense of their cluster.", byCluster),
		panics:           counter("panics", "", "Panics that were caught outside of interceptors. Each is in the log with its stack; please report it."),
		moves:            gauge("moves", "", "Moves that have not ended, by phase; pending ones wait for what GET /moves says.", byVirtualCluster, byPhase),
		moved:            gauge("moves.ended", "", "Moves that have ended, of the last 10,000 of all runs of the gateway, by their last phase: done, or dropped for a newer edit.", byVirtualCluster, byPhase, byPlanned),
		paused:           gauge("move.pause", "s", "How long the last move that was done held produces.", vc...),
		waits:            gauge("move.open.age", "s", "How long the oldest move that has not ended is open, by the kind of what blocks it; none: nothing has refused it; 0 where there is no such move.", byVirtualCluster, byBlock),
		fences:           gauge("fences", "", "Fences that keep writers past the gateway away from a topic, by the cluster that they stand on; those with lift=true are to be lifted, since the topic lives there, and the hook has not done so yet.", byVirtualCluster, byCluster, byLift),
		lost:             gauge("move.possible_loss", "", "Records that unplanned moves may have lost and that nobody has acknowledged.", vc...),
		topicIn:          counter("topic.received", "By", "Bytes of records in produces that were answered without an error, of the topics that telemetry.metrics.topics names.", byVirtualCluster, byTopic),
		topicOut:         counter("topic.sent", "By", "Bytes of records in answers to fetches, of the same topics.", byVirtualCluster, byTopic),
		topicWaiting:     gauge("topic.waiting.requests", "", "Produces that wait now in the topic's gate, of the same topics once they have had traffic.", byVirtualCluster, byTopic),
		clientRequests:   counter("client.requests", "", "Requests that were answered, of the client ids that telemetry.metrics.clients names.", byVirtualCluster, byClient),
		clientIn:         counter("client.received", "By", "Bytes of these requests.", byVirtualCluster, byClient),
		clientOut:        counter("client.sent", "By", "Bytes of their answers.", byVirtualCluster, byClient),
		groupHomes:       gauge("groups", "", "Consumer groups, by their home.", byVirtualCluster, byHome),
		groupsBehind:     gauge("groups.mirror.age", "s", "For how long, at most, positions that groups have committed have not been on cluster, which may become their home; 0: it has all. As long as the gateway lives they get there before a move; this is by how much groups would go back if it died with their home.", byVirtualCluster, byCluster),
		groupsUnmirrored: gauge("groups.unmirrored", "", "Groups that cluster has never been given all positions of: it would not become their home if that died now.", byVirtualCluster, byCluster),
		damaged:          gauge("groups.damaged", "", "Groups that would miss records, or get some again, if home died now and cluster took its place, or since it has died. As of the last round of copies.unasked.age, like the next five; absent before the first one.", damage...),
		damageUnknown:    gauge("groups.damage.unknown", "", "Those of them, and other groups of home, of which that is not known: what cluster has of a topic could not be compared, or where they stand was not read yet.", damage...),
		skipped:          gauge("groups.skipped", "", "Records that they have not read and would never get, all together: cluster does not have them.", damage...),
		skippedAge:       gauge("groups.skipped.age", "s", "For how long cluster has not had all of those, of the copy that lags longest.", damage...),
		repeated:         gauge("groups.repeated", "", "Records that they would get again if the gateway died with home, all together: cluster has not been given their last positions.", damage...),
		repeatedAge:      gauge("groups.repeated.age", "s", "How long ago the first of those positions was committed, of the group that waits longest.", damage...),
		groupSkipped:     gauge("group.skipped", "", "Records that a group has not read and would never get if home died now and cluster took its place, of the groups that telemetry.metrics.groups names; absent while it is not known.", byVirtualCluster, byGroup, byHome, byCluster),
		groupRepeated:    gauge("group.repeated", "", "Records that it would get again if the gateway died with home.", byVirtualCluster, byGroup, byHome, byCluster),
		groupLag:         gauge("group.lag", "", "Records that a group has still to read, of the groups that telemetry.metrics.groups names. As of the last round of copies.unasked.age, like all of group; absent while it is not known.", byVirtualCluster, byGroup, byTopic),
		groupAge:         gauge("group.lag.age", "s", "How old the oldest of them is, by its timestamp; 0 if there are none. Of up to 200 partitions.", byVirtualCluster, byGroup, byTopic),
		groupCopyLag:     gauge("group.copy.lag", "", "Records that it would have to read on a copy, from the same place on: fewer than at home are such as the copy lacks.", byVirtualCluster, byGroup, byTopic, byCluster),
		readyTopics:      gauge("failover.topics", "", "Topics that live on home and could fail over to cluster now: ready, or unplanned, which loses what the copy lacks, while the home does not answer; or not, by the kind of what would refuse the move, as in blocked_by. Looked at in the rounds of copies.unasked.age, settings, rights and transactions that hang every minute; of the records that a move compares, the last ones were compared.", byVirtualCluster, byHome, byCluster, byReason),
		copiesUnasked:    gauge("copies.unasked.age", "s", "How long ago clusters were last asked for the topic that waits longest, which is how old what is known of copies may be: 10 s, or longer where comparing what has changed takes longer; up to a minute or so, for topics to which nothing seems to happen, where there are more than 20,000 partitions. Absent before the first round.", vc...),
		copiesPeriod:     gauge("copies.round.period", "s", "How long after the one before the last round over copies has ended, or, once that is longer, for how long none has ended: 10 s, unless comparing takes longer. Absent before the first round.", vc...),
		copiesWaiting:    gauge("copies.waiting", "", "Copies of topics that the round on its way has still to compare, since something in them is new; all of them in the first round.", vc...),
		ready:            gauge("failover.ready", "", "1 if a topic could fail over to cluster now, else 0, with the reason as in failover.topics, of the topics that telemetry.metrics.topics names.", byVirtualCluster, byTopic, byCluster, byReason),
		lag:              gauge("copy.lag", "", "Records that a copy on another cluster lacks, of the topics that telemetry.metrics.topics names. As of the last round of copies.unasked.age, like all of copy; absent while it is not known.", copies...),
		delta:            gauge("copy.delta", "", "Offsets of a copy minus those at home of the same records, as last verified.", copies...),
		comparedFrom:     gauge("copy.compared.from", "", "The first virtual offset of the records that were last compared with the copy.", copies...),
		comparedTo:       gauge("copy.compared.to", "", "The virtual offset behind the records that were last compared with the copy.", copies...),
		comparedAt:       gauge("copy.compared.time", "s", "When the last records of the copy were last found to be those at home, as Unix time; 0 if they were not, or differ now.", byVirtualCluster, byTopic, byCluster),
		lagAge:           gauge("copy.lag.age", "s", "For how long a copy has not had all that its home has, or had then: of the partition of which that is longest. In steps of a round.", byVirtualCluster, byTopic, byCluster),
		unaligned:        gauge("copy.unaligned", "", "Offsets of the home that were not looked at yet, of a copy that does not stand at one distance and is looked at in the background; of all partitions.", byVirtualCluster, byTopic, byCluster),
		runs:             gauge("copy.runs", "", "Runs of records of a copy that stand at one distance each; as many as partitions where nothing stands between them.", byVirtualCluster, byTopic, byCluster),
		copyHoles:        gauge("copy.holes", "", "Offsets between the runs of which the copy has no record, of all partitions.", byVirtualCluster, byTopic, byCluster),
		copySkips:        gauge("copy.skips", "", "Offsets of the copy between the runs that clients would not be shown, such as repeated records and markers of transactions, of all partitions.", byVirtualCluster, byTopic, byCluster),
		wrong:            gauge("copy.wrong", "", "Records that keep a copy that does not stand at one distance from being exact where they are, as far as it was looked at since the gateway began; of all partitions.", byVirtualCluster, byTopic, byCluster),
		holes:            gauge("topic.holes", "", "Virtual offsets without records that unplanned moves have left.", byVirtualCluster, byTopic, byPartition),
		revision:         gauge("config.info", "", "1, with the revision of the configuration in force.", byRevision),
		reloaded:         gauge("config.last_reload.time", "s", "When the file was last applied or refused, as Unix time; 0 before the first change."),
		ok:               gauge("config.last_reload.successful", "", "1 if the last change of the file was applied, 0 if it was refused."),
		memory:           gauge("request.memory", "By", "Bytes of requests that are not answered yet, and of answers that are not written yet; past the limit, sessions stop reading."),
		memoryLimit:      gauge("request.memory.limit", "By", "limits.process_bytes, or what it is by default."),
		memoryWaiting:    gauge("request.memory.waiting", "", "Requests and answers that wait for memory to become free."),
		memoryWaits:      counter("request.memory.waits", "", "How often a request or an answer has had to wait for memory."),
		accessDropped:    counter("access_log.dropped.lines", "", "Lines of the access log that were dropped, since they came faster than they could be written."),
		auditDropped:     counter("audit_log.dropped.entries", "", "Entries of the audit log that were dropped, since their file or topic has failed for long."),
		auditWaiting:     gauge("audit_log.waiting.entries", "", "Entries of the audit log that are not written yet."),
		broken:           gauge("part.broken", "", "1 while what a part of a virtual cluster is made from is broken or gone: the module or image of a guest, the certificate of listen.tls; or of all: what ${file:path} or ${env:NAME} refers to. What was made before goes on.", byVirtualCluster, byPart),
		built:            gauge("build.info", "", "1, with the build of the gateway.", byVersion, byCommit, byGo),
		inForce:          gauge("config.in_force.time", "s", "When the configuration in force came into force, as Unix time."),
		certificate:      gauge("certificate.expiry.time", "s", "When the first certificate of the chain of listen.tls expires, as Unix time.", vc...),
		spansLost:        counter("traces.dropped.spans", "", "Spans that came faster than they could be sent, or could not be sent."),
		started:          gauge("start.time", "s", "When the gateway started, as Unix time."),

		sessionsRefused:     counter("sessions.refused", "", "Connections of clients that were refused: limits.connections was reached (connections), the process may not open more files (files), the TLS handshake failed, or an interceptor refused them.", byVirtualCluster, byReason),
		connections:         gauge("connections", "", "Connections of clients of all virtual clusters."),
		connectionsLimit:    gauge("connections.limit", "", "How many the files that the process may open leave room for; 0: it is not known."),
		files:               gauge("files", "", "Files that the process has open: connections of clients and to brokers, the state, logs. Absent where it is not known."),
		filesLimit:          gauge("files.limit", "", "How many files the process may have open. Absent where it is not known."),
		interceptorFailures: counter("interceptor.failures", "", "Errors of requests that came from an interceptor and not from below it, panics included.", byVirtualCluster, byInterceptor),
	}
}
