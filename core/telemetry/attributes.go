package telemetry

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// SchemaURL names the release of the semantic conventions that spans follow. A test holds it, and
// Conventions, against the newest one that OpenTelemetry's module has.
const SchemaURL = "https://opentelemetry.io/schemas/1.43.0"

// Attributes of spans, links and events. What the conventions do not name is under sluice.
const (
	System        = attribute.Key("messaging.system")
	Operation     = attribute.Key("messaging.operation.name")
	OperationType = attribute.Key("messaging.operation.type")
	Destination   = attribute.Key("messaging.destination.name")
	Partition     = attribute.Key("messaging.destination.partition.id")
	MessageCount  = attribute.Key("messaging.batch.message_count")
	Offset        = attribute.Key("messaging.kafka.offset")
	ClientID      = attribute.Key("messaging.client.id")
	ConsumerGroup = attribute.Key("messaging.consumer.group.name")
	ServerAddress = attribute.Key("server.address")
	ServerPort    = attribute.Key("server.port")
	Transport     = attribute.Key("network.transport")
	PeerAddress   = attribute.Key("network.peer.address")
	PeerPort      = attribute.Key("network.peer.port")
	ErrorType     = attribute.Key("error.type")
	// Of the event of an error.
	ExceptionType    = attribute.Key("exception.type")
	ExceptionMessage = attribute.Key("exception.message")

	VirtualCluster = attribute.Key("sluice.virtual_cluster")
	Software       = attribute.Key("sluice.client.software")
	APIKey         = attribute.Key("sluice.api.key")
	APIVersion     = attribute.Key("sluice.api.version")
	Topics         = attribute.Key("sluice.topics")
	Offsets        = attribute.Key("sluice.offsets")
	Failures       = attribute.Key("sluice.failures")
	Unread         = attribute.Key("sluice.records.unread")
	RequestSize    = attribute.Key("sluice.request.size")
	ResponseSize   = attribute.Key("sluice.response.size")
	ErrorCode      = attribute.Key("sluice.error_code")
	Interceptor    = attribute.Key("sluice.interceptor")
	OwnTime        = attribute.Key("sluice.interceptor.duration_ms") // see OwnTimeOf
	Stage          = attribute.Key("sluice.stage")
	Guest          = attribute.Key("sluice.guest")
	Cluster        = attribute.Key("sluice.cluster")
	ClusterID      = attribute.Key("sluice.cluster.id")
	Node           = attribute.Key("sluice.node")
	Reason         = attribute.Key("sluice.reason")
	Duration       = attribute.Key("sluice.duration_ms")
	Count          = attribute.Key("sluice.count")
	Move           = attribute.Key("sluice.move")
	From           = attribute.Key("sluice.move.from")
	To             = attribute.Key("sluice.move.to")
	Planned        = attribute.Key("sluice.move.planned")
)

// Convention is an attribute, what has it, and what it says.
type Convention struct {
	Key     attribute.Key
	Type    attribute.Type
	On      string
	Meaning string
}

// Conventions are all attributes that are set. TRACES.md beside this file is made from them.
var Conventions = []Convention{
	{System, attribute.STRING, "SERVER, CLIENT", "`kafka`"},
	{Operation, attribute.STRING, "SERVER, CLIENT", "`send` (Produce), `poll` (Fetch, ShareFetch), `commit` (OffsetCommit, TxnOffsetCommit), `acknowledge` (ShareAcknowledge); of another API its name, such as `Metadata`"},
	{OperationType, attribute.STRING, "SERVER, CLIENT", "`send`, `receive`, `settle`; other APIs have none"},
	{Destination, attribute.STRING, "SERVER, CLIENT, link, move", "the topic, if there is one alone: of a fetch that delivers records the one that they are from, else the one that the request names. On a CLIENT span, its name on that cluster"},
	{Partition, attribute.STRING, "SERVER, CLIENT, link", "the partition, in the same way"},
	{MessageCount, attribute.INT64, "SERVER, CLIENT", "records sent or delivered, markers of transactions not among them; left out where they are of message format 0 or 1, which does not tell"},
	{Offset, attribute.INT64, "SERVER, CLIENT, link", "of the first record of a produce to one partition; of the record of a fetch that delivers one; of the record that a link is from. On a CLIENT span, that of the cluster"},
	{ClientID, attribute.STRING, "SERVER", "what the client calls itself"},
	{ConsumerGroup, attribute.STRING, "SERVER, CLIENT", "of requests that name a group, which a Fetch does not"},
	{ServerAddress, attribute.STRING, "SERVER, CLIENT", "address that the client has connected to; of a CLIENT span the broker's host, as its cluster tells it"},
	{ServerPort, attribute.INT64, "SERVER, CLIENT", "and the port"},
	{Transport, attribute.STRING, "SERVER, CLIENT", "`tcp`"},
	{PeerAddress, attribute.STRING, "SERVER, CLIENT", "address of the client, or of the broker"},
	{PeerPort, attribute.INT64, "SERVER, CLIENT", "and its port"},
	{ErrorType, attribute.STRING, "all", "of a span that failed, and of no other: the name of Kafka's error, such as `INVALID_RECORD`, the first of an answer's; a kind of failure, such as `timeout`, `client_gone`, `held_too_long`, `unreachable`, `link_broken`, `panic`; of a move what keeps it from going on, as `blocked_by` of `sluice_move_open_age_seconds`; a type of Go; or `_OTHER`"},
	{ExceptionType, attribute.STRING, "event `exception`", "type of the error"},
	{ExceptionMessage, attribute.STRING, "event `exception`", "its text"},
	{VirtualCluster, attribute.STRING, "SERVER, move", "the virtual cluster"},
	{Software, attribute.STRING, "SERVER", "name and version that the client tells of itself"},
	{APIKey, attribute.INT64, "SERVER", "Kafka's number of the API"},
	{APIVersion, attribute.INT64, "SERVER", "version of the request"},
	{Topics, attribute.STRINGSLICE, "SERVER, CLIENT", "topics that the request names, the first 10"},
	{Offsets, attribute.STRINGSLICE, "SERVER, CLIENT", "of the records sent or delivered, as `topic-partition: first-last`; the first 10 partitions"},
	{Failures, attribute.STRINGSLICE, "SERVER, CLIENT", "partitions of a Produce or Fetch that were answered with an error, as `topic-partition: ERROR`; the first 10"},
	{Unread, attribute.INT64, "SERVER", "records that were not looked into for links: past the limits, or broken"},
	{RequestSize, attribute.INT64, "SERVER", "bytes"},
	{ResponseSize, attribute.INT64, "SERVER", "bytes; none where nothing was sent"},
	{ErrorCode, attribute.INT64, "SERVER", "Kafka's number of the first error of the answer; 0 for none"},
	{Interceptor, attribute.STRING, "INTERNAL", "the interceptor whose span it is"},
	{OwnTime + ".NAME", attribute.FLOAT64, "SERVER", "time in the interceptor NAME, such as `routing` or `wasm.mask`, itself, without what is below it and without waits; of requests that are sampled"},
	{Stage, attribute.STRING, "INTERNAL", "stage of the interceptor"},
	{Guest, attribute.STRING, "INTERNAL", "the guest that was called"},
	{Cluster, attribute.STRING, "CLIENT, event `sent again`", "the cluster, by its name in the file"},
	{ClusterID, attribute.STRING, "CLIENT", "Kafka's id of it"},
	{Node, attribute.INT64, "CLIENT", "the broker; -1 for any"},
	{Reason, attribute.STRING, "events `held`, `fork`, `sent again`, `refused`", "why"},
	{Duration, attribute.FLOAT64, "event `held`, move", "how long the request waited; how long the move held clients"},
	{Count, attribute.INT64, "event `fork`, move", "parts of the request; attempts of the move"},
	{Move, attribute.STRING, "move and its phases", "id of the move"},
	{From, attribute.STRING, "move and its phases", "the home before"},
	{To, attribute.STRING, "move and its phases", "the new home"},
	{Planned, attribute.BOOL, "move", "whether the old home took part"},
}

// OwnTimeOf is the attribute of an interceptor's own time.
func OwnTimeOf(interceptor string) attribute.Key {
	return OwnTime + "." + attribute.Key(strings.ReplaceAll(interceptor, " ", "."))
}

// ConventionOf finds the one of an attribute.
func ConventionOf(key attribute.Key) (Convention, bool) {
	if strings.HasPrefix(string(key), string(OwnTime)+".") {
		key = OwnTime + ".NAME"
	}
	for _, c := range Conventions {
		if c.Key == key {
			return c, true
		}
	}
	return Convention{}, false
}
