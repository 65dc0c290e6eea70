package differential

import (
	"encoding/hex"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// virtualNode is a mask of the part of a virtual node's id that is the broker's own.
const virtualNode = 1<<20 - 1

var (
	// generated is what brokers draw by chance: ids of members.
	generated = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	drawn     = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)
	// virtual are the ids of virtual nodes in texts.
	virtual = regexp.MustCompile(`\b(1|2)0[49][0-9]{4}\b`)
)

// list is a list of what names itself.
type list map[string]any

// translate makes a tree of an answer in which everything that may be another one elsewhere has the
// same name.
func (l *lane) translate(resp kmsg.Response) any {
	return l.value("", reflect.ValueOf(resp).Elem())
}

func (l *lane) value(name string, v reflect.Value) any {
	switch x := v.Interface().(type) {
	case kmsg.Tags:
		return nil
	case [16]byte:
		return l.topicID(x)
	case []byte:
		return l.bytes(name, x)
	case string:
		return l.text(name, x)
	case []string:
		out := []string{}
		for _, s := range x {
			if !l.foreign(s) {
				out = append(out, fmt.Sprint(l.text(name, s)))
			}
		}
		slices.Sort(out)
		return fmt.Sprintf("%q", out)
	case []int32:
		out := slices.Clone(x)
		if nodeIDs[name] {
			for i := range out {
				out[i] = node(out[i])
			}
		}
		slices.Sort(out)
		return fmt.Sprint(slices.Compact(out))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return l.value(name, v.Elem())
	case reflect.Struct:
		return l.fields(v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			return l.list(v)
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return l.number(name, v.Int())
	}
	return fmt.Sprint(v.Interface())
}

func (l *lane) fields(v reflect.Value) any {
	out := map[string]any{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Version" || name == "UnknownTags" || name == "ThrottleMillis" || name == "ErrorMessage" {
			continue
		}
		out[name] = l.value(name, v.Field(i))
	}
	if out["Topic"] == "__consumer_offsets" { // groups of lanes have other names, and so other partitions
		out["Partitions"] = "some"
	}
	if host, ok := out["Host"]; ok && v.FieldByName("Port").IsValid() {
		address := net.JoinHostPort(v.FieldByName("Host").String(), strconv.Itoa(int(v.FieldByName("Port").Int())))
		if out["Host"] = host; l.nodes[address] {
			out["Host"], out["Port"] = "a node's", "a node's"
		}
	}
	return out
}

// identities are the fields that name an element of a list.
var identities = []string{"Topic", "TopicID", "Partition", "Group", "Key", "Name", "User", "ResourceType", "ResourceName", "Type", "NodeID", "TransactionalID", "ApiKey", "Dir", "MemberID", "Mechanism"}

// ofNode are the types of resources that are named by a node.
var ofNode = map[string]bool{"4": true, "8": true}

func (l *lane) list(v reflect.Value) any {
	out := list{}
	for i := range v.Len() {
		e := v.Index(i)
		if l.isForeign(e) {
			continue
		}
		fields, _ := l.value("", e).(map[string]any)
		var key []string
		for _, name := range identities {
			if f, ok := fields[name]; ok && f != "null" {
				key = append(key, fmt.Sprint(f))
			}
		}
		if entity, ok := fields["Entity"]; ok { // of quotas
			key = append(key, fmt.Sprint(entity))
		}
		k := strings.Join(key, " ")
		same, _ := out[k].(map[string]any)
		parts, ok := fields["Partitions"].(list)
		switch name, _ := fields["Name"].(string); {
		case e.FieldByName("NodeID").IsValid(), ofNode[fmt.Sprint(fields["Type"])] && name != "":
			out[k] = fields // the nodes of several clusters have the same names
			continue
		case ok && same != nil: // brokers put a topic's partitions together, or not
			for at, p := range parts {
				same["Partitions"].(list)[at] = p
			}
			continue
		}
		for n := 2; out[k] != nil; n++ {
			k = fmt.Sprintf("%s #%d", strings.Join(key, " "), n)
		}
		out[k] = fields
	}
	return out
}

// isForeign reports an element about what belongs to another lane.
func (l *lane) isForeign(e reflect.Value) bool {
	for _, name := range identities {
		f := e.FieldByName(name)
		if f.IsValid() && f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		if f.IsValid() && f.Kind() == reflect.String && l.foreign(f.String()) {
			return true
		}
	}
	return false
}

func (l *lane) topicID(id [16]byte) string {
	if id == [16]byte{} {
		return "none"
	}
	for name, known := range l.topics {
		if known == id {
			return "id of " + l.texts.Replace(name)
		}
	}
	if id == unknownID {
		return "unknown id"
	}
	return "some id"
}

// nodeIDs are the fields that hold ids of nodes.
var nodeIDs = map[string]bool{
	"NodeID": true, "Leader": true, "LeaderID": true, "ControllerID": true, "Replicas": true, "ISR": true, "OfflineReplicas": true,
	"EligibleLeaderReplicas": true, "LastKnownELR": true, "AddingReplicas": true, "RemovingReplicas": true, "PreferredReadReplica": true,
}

func node(id int32) int32 {
	if id < 0 {
		return id
	}
	return id & virtualNode
}

// longAgo is later than the records that the lanes have in common; markers of transactions have the
// time of their broker.
const longAgo = 1_000_000_000_000

// chance are numbers that no two clusters have in common.
var chance = map[string]bool{
	"ProducerID": true, "SessionID": true, "LastTimestamp": true, "StartTimestamp": true, "TotalBytes": true, "UsableBytes": true, "FinalizedFeaturesEpoch": true,
	"CoordinatorEpoch": true, "Size": true,
}

func (l *lane) number(name string, n int64) any {
	switch {
	case nodeIDs[name]:
		return fmt.Sprint(node(int32(n)))
	case chance[name] && n >= 0, name == "Timestamp" && n > longAgo:
		return "some"
	case name == "ErrorCode" || name == "ConfigErrorCode":
		return fmt.Sprintf("%d %s", n, kafka.Code(n).Name())
	}
	return fmt.Sprint(n)
}

func (l *lane) text(name, s string) any {
	if s == "" {
		return s
	}
	switch name {
	case "ClusterID":
		if s == l.id {
			return "the cluster's id"
		}
	case "Documentation":
		return s
	case "MemberID":
		s = drawn.ReplaceAllString(s, "ID")
	}
	s = virtual.ReplaceAllStringFunc(l.texts.Replace(s), func(id string) string {
		n, _ := strconv.Atoi(id)
		return fmt.Sprint(node(int32(n)))
	})
	return generated.ReplaceAllString(s, "ID")
}

// bytes shows records by what consumers see of them.
func (l *lane) bytes(name string, b []byte) any {
	if b == nil {
		return "null"
	}
	if name != "RecordBatches" && name != "Records" {
		return hex.EncodeToString(b)
	}
	var out []string
	for _, x := range kafka.Batches(b) {
		records := hex.EncodeToString(x[kafka.BatchHeader:])
		if x.IsControl() {
			records = "a marker"
		}
		out = append(out, fmt.Sprintf("%d-%d epoch %d attributes %d: %s", x.BaseOffset(), x.LastOffset(), x.LeaderEpoch(), x.Attributes(), records))
	}
	return strings.Join(out, "; ")
}
