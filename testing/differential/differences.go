package differential

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// difference is something that an answer has otherwise than Kafka's.
type difference struct {
	lane    string
	api     string
	version int16
	path    string // names of fields; elements of lists in brackets
	kafka   string
	here    string
	request kmsg.Request
}

// heading is what stands above the table of differences on purpose, in COMPATIBILITY.md.
const heading = "Answers that differ from Kafka's on purpose:"

// differences are those on purpose, by the first column of its table.
var differences = map[string]func(d difference) bool{
	"lists of topics, without those that Kafka and replicators keep for themselves": func(d difference) bool {
		return d.lane != "empty" && strings.Contains(d.path, "[__") && d.here == "missing"
	},
	"ApiVersions, without APIs of one cluster and of brokers among themselves": func(d difference) bool {
		key, err := strconv.Atoi(numbers.FindString(d.path))
		return d.api == "ApiVersions" && err == nil && d.here == "missing" && refused(kmsg.Key(key))
	},
	"ApiVersions version 5 (KIP-1242)": func(d difference) bool {
		return d.api == "ApiVersions" && (d.version == 5 || d.path == "ApiKeys[18].MaxVersion" && d.here == "5")
	},
	"ApiVersions, without supported features that begin at 0": func(d difference) bool {
		return d.api == "ApiVersions" && strings.HasPrefix(d.path, "SupportedFeatures[") && strings.Contains(d.kafka, "MinVersion:0") && d.here == "missing"
	},
	"a hidden topic that a member subscribes to, in ConsumerGroupDescribe": func(d difference) bool {
		return d.api == "ConsumerGroupDescribe" && strings.HasSuffix(d.path, "SubscribedTopics") && strings.Contains(d.kafka, hidden) && !strings.Contains(d.here, hidden)
	},
	"the operations that clients may do with a hidden topic": func(d difference) bool {
		return strings.Contains(d.path, "["+hidden) && strings.HasSuffix(d.path, "AuthorizedOperations")
	},
	"requests that brokers close the connection for": func(d difference) bool {
		switch d.api {
		case "DescribeACLs", "CreateACLs", "DeleteACLs", "Fetch":
			return d.path == whole && d.kafka == "closed" && d.here == "answered"
		}
		return false
	},
	"configurations of brokers that name nodes and addresses": func(d difference) bool {
		return d.api == "DescribeConfigs" && strings.HasPrefix(d.path, "Resources[4 ") && strings.HasSuffix(d.path, ".Value") && naming.MatchString(d.path)
	},
	"what is everybody's, in a virtual cluster with a prefix": func(d difference) bool {
		if d.lane != "prefixed" {
			return false
		}
		switch d.api {
		case "DescribeACLs", "CreateACLs", "DeleteACLs", "DescribeClientQuotas", "AlterClientQuotas", "DescribeUserSCRAMCredentials", "AlterUserSCRAMCredentials":
			return d.path != whole // nothing but the refusal is answered
		case "DescribeConfigs", "AlterConfigs", "IncrementalAlterConfigs":
			return asks(d.request, everybodys)
		}
		return false
	},
	"AddPartitionsToTxn with a partition away from the transaction's home": func(d difference) bool {
		return d.api == "AddPartitionsToTxn" && d.lane == "two clusters" && strings.HasSuffix(d.path, "ErrorCode") &&
			(d.here == "59 UNKNOWN_PRODUCER_ID" || d.here == "55 OPERATION_NOT_ATTEMPTED")
	},
	"leader epochs of a topic that has moved, and what is asked with one": func(d difference) bool {
		return d.lane == "two clusters" && ofMoved.MatchString(d.path) && (strings.HasSuffix(d.path, "LeaderEpoch") || asks(d.request, epoch))
	},
	"Metadata that asks for topics by name and for others by id": func(d difference) bool {
		m, ok := d.request.(*kmsg.MetadataRequest)
		return ok && d.lane != "empty" && d.kafka == "missing" && slices.ContainsFunc(m.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic == nil })
	},
	"a hidden topic, in a request that has another fault": func(d difference) bool {
		return strings.Contains(d.path, "["+hidden) && strings.HasSuffix(d.path, "ErrorCode") && !strings.HasPrefix(d.kafka, "0 ") && d.here == "3 UNKNOWN_TOPIC_OR_PARTITION"
	},
	"a fetch that names the zero topic id, and another partition behind it": func(d difference) bool {
		m, ok := d.request.(*kmsg.FetchRequest)
		if !ok || d.version < 13 || d.lane == "empty" {
			return false
		}
		at := slices.IndexFunc(m.Topics, func(t kmsg.FetchRequestTopic) bool { return t.TopicID == [16]byte{} })
		return at >= 0 && (at < len(m.Topics)-1 || len(m.Topics[at].Partitions) > 1) &&
			(d.path == "ErrorCode" && strings.HasPrefix(d.kafka, "-1 ") || strings.HasPrefix(d.path, "Topics[") && d.kafka == "missing")
	},
	"a produce with a partition without records": func(d difference) bool {
		return d.api == "Produce" && d.path == whole && d.kafka == unanswered && d.here == "answered"
	},
}

const (
	// whole is the path of what is no field.
	whole = "the request"
	// unanswered is what a broker does that never answers.
	unanswered = "never answered"
)

var numbers = regexp.MustCompile(`[0-9]+`)

// everybodys are resources that are of no topic and no group.
var everybodys = regexp.MustCompile(`"ResourceType":"(UNKNOWN|CLIENT_METRICS|BROKER|BROKER_LOGGER)"`)

// naming is the path of a configuration that names nodes or addresses.
var naming = regexp.MustCompile(`Configs\[([a-z.]*listeners|controller\.quorum\.(voters|bootstrap\.servers))\]`)

// ofMoved is the path of something of the topic that has moved.
var ofMoved = regexp.MustCompile(`\[(moved|[^]]*id of moved)`)

// epoch is a leader epoch that a client knows.
var epoch = regexp.MustCompile(`"(CurrentLeaderEpoch|LastFetchedEpoch|LeaderEpoch)":[0-9]`)

// asks reports a request that says something.
func asks(request kmsg.Request, what *regexp.Regexp) bool {
	b, err := json.Marshal(request)
	return err == nil && what.Match(b)
}

func refused(key kmsg.Key) bool {
	api, ok := kafka.Lookup(key)
	return !ok || api.GoesTo == kafka.Refused
}

// onPurpose names the row of the table that a difference belongs to.
func onPurpose(d difference) (string, bool) {
	for row, covers := range differences {
		if covers(d) {
			return row, true
		}
	}
	return "", false
}

// listed are the first columns of the table.
func listed(readme string) ([]string, error) {
	b, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	_, table, _ := strings.Cut(string(b), heading)
	var rows []string
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			break
		}
		if i > 1 { // behind the names of columns
			rows = append(rows, strings.TrimSpace(cells[1]))
		}
	}
	return rows, nil
}
