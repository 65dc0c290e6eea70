package telemetry

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// published are the attributes of the conventions that are set, as their package makes them.
var published = []attribute.KeyValue{
	semconv.MessagingSystemKafka, semconv.MessagingOperationName(""), semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(""),
	semconv.MessagingDestinationPartitionID(""), semconv.MessagingBatchMessageCount(0), semconv.MessagingKafkaOffset(0), semconv.MessagingClientID(""),
	semconv.MessagingConsumerGroupName(""), semconv.ServerAddress(""), semconv.ServerPort(0), semconv.NetworkTransportTCP, semconv.NetworkPeerAddress(""),
	semconv.NetworkPeerPort(0), semconv.ErrorTypeOther, semconv.ExceptionType(""), semconv.ExceptionMessage(""),
}

// notSet are the other ones that the conventions have for messaging and for Kafka, and why no span
// has them.
var notSet = map[string]string{
	"messaging.destination.anonymous":         "a topic has a name that clients have chosen",
	"messaging.destination.subscription.name": "Kafka has consumer groups instead",
	"messaging.destination.template":          "topics are few: the name is one",
	"messaging.destination.temporary":         "Kafka has no topics that end with their client",
	"messaging.kafka.message.key":             "of single records, which are not shown; keys may be secrets",
	"messaging.kafka.message.tombstone":       "of single records",
	"messaging.message.body.size":             "of single records; `sluice.request.size` and `sluice.response.size` are of the whole",
	"messaging.message.conversation_id":       "Kafka has none",
	"messaging.message.envelope.size":         "of single records",
	"messaging.message.id":                    "Kafka has none: partition and offset name a record",
}

const conventions = `# What spans say

Names and attributes follow OpenTelemetry's [semantic conventions](%s) for messaging. Spans of the scope
` + "`%s`" + ` name that release as their schema, and have the gateway's version. What the conventions do not name is under ` + "`sluice.`" + `.

| span | kind | name |
|---|---|---|
| of a client's request | SERVER | ` + "`{operation} {topic}`" + `: ` + "`send payments`, `poll payments`, `commit payments`" + `; of an API that is not about messages its name, ` + "`Metadata payments`" + `. Of several topics, and of none, the operation alone |
| of a request to a cluster | CLIENT | likewise, with the topic's name on that cluster |
| of a call of a guest | INTERNAL | the function that was called |
| of an interceptor (` + "`spans: slow`, `all`" + `) | INTERNAL | its name |
| of a move | INTERNAL | ` + "`move`" + `; below it ` + "`asked`" + ` at once, and each phase as it ends, by its name |

PRODUCER and CONSUMER are kinds of clients' own spans, which the gateway's link to by the contexts in records. A request of several topics has no
` + "`messaging.destination.name`" + `, one of several partitions no ` + "`messaging.destination.partition.id`" + `: ` + "`sluice.topics`, `sluice.offsets` and `sluice.failures`" + ` list
them. Where some partitions of a request are answered with an error and others are not, the span has failed with the first error. Codes
of the normal run of the protocol, such as NOT_LEADER_OR_FOLLOWER while a leader changes, are no failures. A CLIENT span of a request that was
not sampled, and is traced for what came of it, names topics only if it failed itself or was slow.

This table is made from the code; a test fails when they differ, and another one when the conventions do.

| attribute | type | on | says |
|---|---|---|---|
`

// document writes the table of conventions.
func document() string {
	var b strings.Builder
	fmt.Fprintf(&b, conventions, SchemaURL, scope)
	for _, c := range Conventions {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Key, strings.ToLower(c.Type.String()), c.On, c.Meaning)
	}
	b.WriteString("\nNot set, of those that the conventions have for messaging and Kafka:\n\n| attribute | because |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(notSet)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", key, notSet[key])
	}
	return b.String()
}

// TestConventionsAreDocumented: TRACES.md is the table; UPDATE=1 writes it.
func TestConventionsAreDocumented(t *testing.T) {
	want := document()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("TRACES.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("TRACES.md")
	if err != nil || string(got) != want {
		t.Errorf("TRACES.md is not what the code says (%v): run UPDATE=1 go test -run ConventionsAreDocumented ./core/telemetry", err)
	}
}

// TestConventionsAreThePublishedOnes: keys, types, values and schema are those of the newest
// release that OpenTelemetry's module has, of which every attribute for messaging and Kafka is set,
// or there is a reason.
func TestConventionsAreThePublishedOnes(t *testing.T) {
	known := map[attribute.Key]attribute.KeyValue{}
	for _, kv := range published {
		known[kv.Key] = kv
	}
	for _, c := range Conventions {
		kv, conventional := known[c.Key]
		if own := strings.HasPrefix(string(c.Key), "sluice."); own == conventional {
			t.Errorf("%s is sluice's: %t, the conventions': %t", c.Key, own, conventional)
		}
		if conventional && kv.Value.Type() != c.Type {
			t.Errorf("%s is a %s, not a %s", c.Key, kv.Value.Type(), c.Type)
		}
		delete(known, c.Key)
	}
	if len(known) > 0 {
		t.Errorf("not in the table: %v", known)
	}
	if SchemaURL != semconv.SchemaURL {
		t.Errorf("the schema is %s, not %s", SchemaURL, semconv.SchemaURL)
	}
	types := []string{semconv.MessagingOperationTypeSend.Value.AsString(), semconv.MessagingOperationTypeReceive.Value.AsString(), semconv.MessagingOperationTypeSettle.Value.AsString()}
	for key, o := range operations {
		if !slices.Contains(types, o[1]) {
			t.Errorf("%s is of the type %q", kmsg.NameForKey(int16(key)), o[1])
		}
	}
	if otherError != semconv.ErrorTypeOther.Value.AsString() {
		t.Errorf("another error is %s", otherError)
	}
}

// TestEveryConventionIsDecided reads the published package: what it has for messaging in general
// and for Kafka is set, or not for a reason.
func TestEveryConventionIsDecided(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "go.opentelemetry.io/otel/semconv/v1.43.0").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(out))
	releases, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "v1.*.0"))
	if err != nil {
		t.Fatal(err)
	}
	if newest := slices.MaxFunc(releases, newer); newest != dir {
		t.Errorf("the newest conventions are %s: go through what they have changed", filepath.Base(newest))
	}
	source, err := os.ReadFile(filepath.Join(dir, "attribute_group.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`= attribute\.Key\("(messaging\.(\w+)\.?[\w.]*)"\)`).FindAllStringSubmatch(string(source), -1) {
		if slices.Contains([]string{"eventhubs", "gcp_pubsub", "rabbitmq", "rocketmq", "servicebus"}, m[2]) {
			continue // other systems
		}
		n++
		_, set := ConventionOf(attribute.Key(m[1]))
		if _, not := notSet[m[1]]; set == not {
			t.Errorf("%s is set: %t, not set: %t", m[1], set, not)
		}
	}
	if n < len(notSet)+5 {
		t.Errorf("only %d attributes are read", n)
	}
}

// newer compares releases v1.MINOR.0.
func newer(a, b string) int {
	minor := func(path string) (n int) {
		_, _ = fmt.Sscanf(filepath.Base(path), "v1.%d.0", &n)
		return n
	}
	return minor(a) - minor(b)
}

// TestNamesOfSpans.
func TestNamesOfSpans(t *testing.T) {
	for want, c := range map[string]struct {
		key   kmsg.Key
		topic string
	}{
		"send payments": {kmsg.Produce, "payments"}, "send": {kmsg.Produce, ""}, "poll payments": {kmsg.Fetch, "payments"}, "poll": {kmsg.ShareFetch, ""},
		"commit payments": {kmsg.OffsetCommit, "payments"}, "commit": {kmsg.TxnOffsetCommit, ""}, "acknowledge payments": {kmsg.ShareAcknowledge, "payments"},
		"Metadata payments": {kmsg.Metadata, "payments"}, "Heartbeat": {kmsg.Heartbeat, ""},
	} {
		if got := SpanName(c.key, c.topic); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
