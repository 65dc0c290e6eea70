package topics

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// What a text, or bytes, of the protocol hold.
const (
	aTopic    = "a topic"
	nothing   = "nothing: it is left out"
	aName     = "a group or a transactional id"
	aPattern  = "a pattern of names" // see patterns_test.go
	aMember   = "a member's topics"  // see members_test.go
	aResource = "a topic or a group, as the type beside it says"
	aSetting  = "a setting, whose value may name a topic or nodes" // see kafka.ConfigValueOf
	refused   = "what a virtual cluster with a prefix refuses"     // see shared_test.go
	upstream  = "what the end of the chain presents"               // addresses and ids of nodes and clusters
	harmless  = "nothing that a prefix divides"
)

// harmlessNames are fields that are harmless wherever they stand.
var harmlessNames = []string{
	"ErrorMessage", "AcknowledgeErrorMessage", "Host", "Rack", "RackID", "MemberID", "InstanceID", "LeaderID", "ClientID", "ClientHost", "State", "GroupState", "GroupType", "TransactionState",
	"ProtocolType", "Protocol", "Reason", "StatesFilter", "TypesFilter", "StateFilters", "UnknownStateFilters", "ServerAssignor", "AssignorName", "Dir", "Documentation",
	"Records", "RecordBatches", "ClientSoftwareName", "ClientSoftwareVersion", "ConfigNames",
}

// textFields are the others, of every request and answer that clients may send or get.
var textFields = map[string]string{
	"ProduceRequest.TransactionID": aName, "FetchRequest.ClusterID": harmless, "ApiVersionsRequest.ClusterID": upstream,
	"FetchRequest.Topics.Topic": aTopic, "FetchRequest.ForgottenTopics.Topic": nothing, "ProduceRequest.Topics.Topic": aTopic, "ProduceResponse.Topics.Topic": aTopic, "FetchResponse.Topics.Topic": aTopic,
	"MetadataResponse.ClusterID": upstream, "DescribeClusterResponse.ClusterID": upstream,
	"FindCoordinatorRequest.CoordinatorKey": aName, "FindCoordinatorRequest.CoordinatorKeys": aName, "FindCoordinatorResponse.Coordinators.Key": aName,
	"OffsetCommitRequest.Topics.Partitions.Metadata": harmless, "OffsetFetchResponse.Topics.Partitions.Metadata": harmless,
	"OffsetFetchResponse.Groups.Topics.Partitions.Metadata": harmless, "TxnOffsetCommitRequest.Topics.Partitions.Metadata": harmless,
	"JoinGroupRequest.Protocols.Name": harmless, "JoinGroupRequest.Protocols.Metadata": aMember, "JoinGroupResponse.Members.ProtocolMetadata": aMember,
	"SyncGroupRequest.GroupAssignment.MemberAssignment": aMember, "SyncGroupResponse.MemberAssignment": aMember,
	"DescribeGroupsResponse.Groups.Members.ProtocolMetadata": aMember, "DescribeGroupsResponse.Groups.Members.MemberAssignment": aMember,
	"ApiVersionsResponse.SupportedFeatures.Name": harmless, "ApiVersionsResponse.FinalizedFeatures.Name": harmless,
	"CreateTopicsRequest.Topics.Configs.Name": aSetting, "CreateTopicsRequest.Topics.Configs.Value": aSetting, "CreateTopicsResponse.Topics.Configs.Name": aSetting, "CreateTopicsResponse.Topics.Configs.Value": aSetting,
	"DescribeConfigsRequest.Resources.ResourceName": aResource, "DescribeConfigsResponse.Resources.ResourceName": aResource,
	"DescribeConfigsResponse.Resources.Configs.Name": aSetting, "DescribeConfigsResponse.Resources.Configs.Value": aSetting,
	"DescribeConfigsResponse.Resources.Configs.ConfigSynonyms.Name": aSetting, "DescribeConfigsResponse.Resources.Configs.ConfigSynonyms.Value": aSetting,
	"AlterConfigsRequest.Resources.ResourceName": aResource, "AlterConfigsRequest.Resources.Configs.Name": aSetting, "AlterConfigsRequest.Resources.Configs.Value": aSetting, "AlterConfigsResponse.Resources.ResourceName": aResource,
	"IncrementalAlterConfigsRequest.Resources.ResourceName": aResource, "IncrementalAlterConfigsRequest.Resources.Configs.Name": aSetting,
	"IncrementalAlterConfigsRequest.Resources.Configs.Value": aSetting, "IncrementalAlterConfigsResponse.Resources.ResourceName": aResource,
	"ListConfigResourcesResponse.ConfigResources.Name": aResource,
	"DeleteTopicsRequest.TopicNames":                   aTopic,
	"DescribeGroupsRequest.Groups":                     aName, "DeleteGroupsRequest.Groups": aName, "ConsumerGroupDescribeRequest.Groups": aName, "DescribeTransactionsRequest.TransactionalIDs": aName,
	"ListTransactionsRequest.TransactionalIDPattern":                    aPattern,
	"ConsumerGroupHeartbeatRequest.SubscribedTopicNames":                aTopic,
	"ConsumerGroupHeartbeatRequest.SubscribedTopicRegex":                aPattern,
	"ConsumerGroupDescribeResponse.Groups.Members.SubscribedTopics":     aTopic,
	"ConsumerGroupDescribeResponse.Groups.Members.SubscribedTopicRegex": aPattern,
	"ShareGroupHeartbeatRequest.SubscribedTopicNames":                   aTopic,
	"ShareGroupDescribeRequest.GroupIDs":                                aName,
	"ShareGroupDescribeResponse.Groups.Assignor":                        harmless,
	"ShareGroupDescribeResponse.Groups.Members.SubscribedTopicNames":    aTopic,
	"SASLHandshakeRequest.Mechanism":                                    harmless, "SASLHandshakeResponse.SupportedMechanisms": harmless, "SASLAuthenticateRequest.SASLAuthBytes": harmless, "SASLAuthenticateResponse.SASLAuthBytes": harmless,
}

// kindOf is the row of a field. Those that Kafka names alike everywhere need none.
func kindOf(api kafka.API, path string) string {
	if api.Scope == kafka.Whole {
		return refused
	}
	last := path[strings.LastIndex(path, ".")+1:]
	switch kind, ok := textFields[path]; {
	case ok:
		return kind
	case slices.Contains(harmlessNames, last):
		return harmless
	case last == "Topic":
		return aTopic
	case last == "Group", last == "GroupID", last == "TransactionalID":
		return aName
	}
	return ""
}

// eachText visits the texts and bytes of every request and answer.
func eachText(visit func(api kafka.API, request bool, path string)) {
	var walk func(api kafka.API, request bool, path string, ty reflect.Type)
	walk = func(api kafka.API, request bool, path string, ty reflect.Type) {
		switch ty.Kind() {
		case reflect.Slice, reflect.Pointer:
			if ty.Elem().Kind() == reflect.Uint8 {
				visit(api, request, path)
				return
			}
			walk(api, request, path, ty.Elem())
		case reflect.String:
			visit(api, request, path)
		case reflect.Struct:
			for f := range ty.Fields() {
				if f.Name != "UnknownTags" {
					walk(api, request, path+"."+f.Name, f.Type)
				}
			}
		}
	}
	for _, api := range kafka.APIs() {
		if req := kmsg.RequestForKey(int16(api.Key)); req != nil && api.GoesTo != kafka.Refused {
			walk(api, true, api.Name+"Request", reflect.TypeOf(req).Elem())
			walk(api, false, api.Name+"Response", reflect.TypeOf(req.ResponseKind()).Elem())
		}
	}
}

// TestEveryTextHasARow: a new version of the protocol may bring others, or name them otherwise.
func TestEveryTextHasARow(t *testing.T) {
	rows := map[string]bool{}
	eachText(func(api kafka.API, _ bool, path string) {
		rows[path] = true
		if kindOf(api, path) == "" {
			t.Errorf("nobody says what %s holds", path)
		}
	})
	for row := range textFields {
		if !rows[row] {
			t.Errorf("there is no %s", row)
		}
	}
}

// fill puts a text where a path leads, and a type of resource beside it.
func fill(v reflect.Value, path []string, text string, kind kmsg.ConfigResourceType) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path, text, kind)
		if v = v.Index(0); v.Kind() != reflect.Struct {
			return
		}
		if p := v.FieldByName("Partitions"); p.IsValid() && p.Len() == 0 { // a topic without any is left out
			p.Set(reflect.MakeSlice(p.Type(), 1, 1))
		}
	case reflect.Struct:
		for _, name := range []string{"ResourceType", "Type"} {
			if f := v.FieldByName(name); f.IsValid() && f.CanInt() {
				f.SetInt(int64(kind))
			}
		}
		fill(v.FieldByName(path[0]), path[1:], text, kind)
	}
}

// read returns the text where a path leads.
func read(v reflect.Value, path []string) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return read(v.Elem(), path)
	case reflect.Slice:
		if v.Len() == 0 {
			return ""
		}
		return read(v.Index(0), path)
	case reflect.Struct:
		return read(v.FieldByName(path[0]), path[1:])
	}
	return v.String()
}

// versionWith is the highest version of an API whose messages have a field.
func versionWith(t *testing.T, key kmsg.Key, request bool, path []string, kind kmsg.ConfigResourceType) int16 {
	t.Helper()
	api, _ := kafka.Lookup(key)
	for v := api.MaxVersion; v >= 0; v-- {
		req := kmsg.RequestForKey(int16(key))
		req.SetVersion(v)
		var b []byte
		if request {
			fill(reflect.ValueOf(req), path, "x", kind)
			b = req.AppendTo(nil)
			back := kmsg.RequestForKey(int16(key))
			back.SetVersion(v)
			if back.ReadFrom(b) == nil && read(reflect.ValueOf(back), path) == "x" {
				return v
			}
			continue
		}
		resp := req.ResponseKind()
		fill(reflect.ValueOf(resp), path, "x", kind)
		b = resp.AppendTo(nil)
		back := req.ResponseKind()
		if back.ReadFrom(b) == nil && read(reflect.ValueOf(back), path) == "x" {
			return v
		}
	}
	t.Fatalf("no version has it")
	return -1
}

// TestNamesHaveThePrefixOnTheClusterAlone, in every field that holds one.
func TestNamesHaveThePrefixOnTheClusterAlone(t *testing.T) {
	eachText(func(api kafka.API, request bool, row string) {
		kinds := []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeTopic}
		switch kindOf(api, row) {
		case aTopic, aName, nothing:
		case aResource:
			kinds = append(kinds, kmsg.ConfigResourceTypeGroupConfig)
		default:
			return
		}
		_, tail, _ := strings.Cut(row, ".")
		path := strings.Split(tail, ".")
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s %d", row, kind), func(t *testing.T) {
				n, _ := build(t)
				version := versionWith(t, api.Key, request, path, kind)
				m := kmsg.RequestForKey(int16(api.Key))
				m.SetVersion(version)
				if request {
					fill(reflect.ValueOf(m), path, "x", kind)
				} else if api.Key == kmsg.Produce || api.Key == kmsg.Fetch || api.Key == kmsg.ElectLeaders { // whose answers are told by what was asked
					fill(reflect.ValueOf(m), path, "x", kind)
				}
				sent := ""
				resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
					in := plugintest.Sent[kmsg.Request](t, f)
					if request {
						sent = read(reflect.ValueOf(in), path)
						return plugin.Fail(f, 0, "")
					}
					out := in.ResponseKind()
					fill(reflect.ValueOf(out), path, "vc.x", kind)
					return plugintest.Encode(out), nil
				}))
				if err != nil {
					t.Fatal(err)
				}
				want := "vc.x"
				if kindOf(api, row) == nothing {
					want = ""
				}
				if request && sent != want {
					t.Errorf("sent %q, want %q", sent, want)
				}
				if request {
					return
				}
				if got := read(reflect.ValueOf(plugintest.Decode[kmsg.Response](t, resp)), path); got != "x" {
					t.Errorf("answered %q", got)
				}
			})
		}
	})
}

// TestASettingMayNameATopic, which has another name on the cluster.
func TestASettingMayNameATopic(t *testing.T) {
	n, _ := build(t)
	const name = "errors.deadletterqueue.topic.name"
	dead, length := "dead", "5000"
	m := message(kmsg.IncrementalAlterConfigs).(*kmsg.IncrementalAlterConfigsRequest)
	m.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{
		{Name: name, Value: &dead}, {Name: name, Op: 1}, {Name: "consumer.session.timeout.ms", Value: &length}}}}
	groups(t, n, m, func(in *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
		if c := in.Resources[0].Configs; *c[0].Value != "vc.dead" || c[1].Value != nil || *c[2].Value != length {
			t.Errorf("sent %q, %v, %q", *c[0].Value, c[1].Value, *c[2].Value)
		}
		return in.ResponseKind()
	})
	set := message(kmsg.AlterConfigs).(*kmsg.AlterConfigsRequest)
	set.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: name, Value: &dead}}}}
	groups(t, n, set, func(in *kmsg.AlterConfigsRequest) kmsg.Response {
		if v := *in.Resources[0].Configs[0].Value; v != "vc.dead" {
			t.Errorf("sent %q", v)
		}
		return in.ResponseKind()
	})
	described := groups(t, n, message(kmsg.DescribeConfigs).(*kmsg.DescribeConfigsRequest), func(in *kmsg.DescribeConfigsRequest) kmsg.Response {
		out := in.ResponseKind().(*kmsg.DescribeConfigsResponse)
		there := "vc.dead"
		out.Resources = []kmsg.DescribeConfigsResponseResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "vc.g", Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: name, Value: &there}}}}
		return out
	}).(*kmsg.DescribeConfigsResponse)
	if r := described.Resources[0]; r.ResourceName != "g" || *r.Configs[0].Value != dead {
		t.Errorf("answered %s: %s", r.ResourceName, *r.Configs[0].Value)
	}
}

// TestMessagesQuoteTheNamesOfClients, wherever an item has one beside a name.
func TestMessagesQuoteTheNamesOfClients(t *testing.T) {
	const quoted = "Topic or group 'vc.x' is not here: vc.x."
	for _, api := range kafka.APIs() {
		req := kmsg.RequestForKey(int16(api.Key))
		if req == nil || api.GoesTo == kafka.Refused || api.Scope == kafka.Whole {
			continue
		}
		var walk func(path []string, ty reflect.Type, named string)
		walk = func(path []string, ty reflect.Type, named string) {
			switch ty.Kind() {
			case reflect.Slice, reflect.Pointer:
				walk(path, ty.Elem(), named)
			case reflect.Struct:
				for _, name := range []string{"Topic", "Group", "ResourceName"} {
					if _, ok := ty.FieldByName(name); ok {
						named = strings.Join(append(slices.Clone(path), name), ".")
					}
				}
				for f := range ty.Fields() {
					switch at := append(slices.Clone(path), f.Name); {
					case f.Name == "ErrorMessage" && named != "":
						t.Run(api.Name+"."+strings.Join(at, "."), func(t *testing.T) { saysWhatClientsSay(t, api, strings.Split(named, "."), at, quoted) })
					case f.Name != "UnknownTags":
						walk(at, f.Type, named)
					}
				}
			}
		}
		walk(nil, reflect.TypeOf(req.ResponseKind()).Elem(), "")
	}
}

func saysWhatClientsSay(t *testing.T, api kafka.API, name, message []string, quoted string) {
	n, _ := build(t)
	m := kmsg.RequestForKey(int16(api.Key))
	m.SetVersion(versionWith(t, api.Key, false, message, kmsg.ConfigResourceTypeTopic))
	if api.Key == kmsg.Produce {
		m.SetVersion(9) // by name; see TestProducedMessagesQuoteTheNamesOfClients
	}
	if api.Key == kmsg.ElectLeaders || api.Key == kmsg.Produce {
		fill(reflect.ValueOf(m), []string{"Topics", "Topic"}, "x", 0)
	}
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		out := plugintest.Sent[kmsg.Request](t, f).ResponseKind()
		beside(reflect.ValueOf(out), name, message, quoted)
		if p, ok := out.(*kmsg.ProduceResponse); ok {
			p.Topics[0].Partitions[0].ErrorCode = int16(kafka.InvalidRequest)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := read(reflect.ValueOf(plugintest.Decode[kmsg.Response](t, resp)), message)
	if want := strings.ReplaceAll(quoted, "vc.x", "x"); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}

// beside fills two fields, of which the second stands in the item of the first or below it.
func beside(v reflect.Value, name, message []string, quoted string) {
	fill(v, name, "vc.x", kmsg.ConfigResourceTypeTopic)
	v = v.Elem()
	for i := range len(name) - 1 {
		v = v.FieldByName(name[i])
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
			if v.Kind() == reflect.Slice {
				v = v.Index(0)
			} else {
				v = v.Elem()
			}
		}
	}
	rest := message[len(name)-1:]
	fill(v.FieldByName(rest[0]), rest[1:], quoted, kmsg.ConfigResourceTypeTopic)
}

// TestProducedMessagesQuoteTheNamesOfClients where topics are given by ids, whatever way the
// request takes.
func TestProducedMessagesQuoteTheNamesOfClients(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), seen("orders")); err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]topicID{{env.Catalog.Topic("orders").ID}, {env.Catalog.Topic("orders").ID, {9}}} {
		m := message(kmsg.Produce).(*kmsg.ProduceRequest)
		for _, id := range ids {
			m.Topics = append(m.Topics, kmsg.ProduceRequestTopic{TopicID: id, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("records")}}})
		}
		r := groups(t, n, m, func(in *kmsg.ProduceRequest) kmsg.Response {
			out := in.ResponseKind().(*kmsg.ProduceResponse)
			said := "vc.orders-0 is not like that"
			out.Topics = []kmsg.ProduceResponseTopic{{TopicID: in.Topics[0].TopicID, Partitions: []kmsg.ProduceResponseTopicPartition{{ErrorCode: 87, ErrorMessage: &said}}}}
			return out
		}).(*kmsg.ProduceResponse)
		if p := r.Topics[0].Partitions[0]; *p.ErrorMessage != "orders-0 is not like that" || r.Topics[0].TopicID != ids[0] {
			t.Errorf("of %d topics: %x: %q", len(ids), r.Topics[0].TopicID, *p.ErrorMessage)
		}
	}
}
