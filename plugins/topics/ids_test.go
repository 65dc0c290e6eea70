package topics

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// How the ids of a field are told from a client's, or a cluster's.
const (
	alone = "alone" // nothing else names the topic
	// dropped is what is left out: there are no sessions below
	dropped = "dropped"
	named   = "named" // its name stands beside it
	asked   = "asked" // it repeats the request's
	other   = "of something else than a topic"
)

// idFields are all fields of requests and answers that clients may send or get and that hold ids.
var idFields = map[string]string{
	"ProduceRequest.Topics.TopicID":                                                         alone,
	"ProduceResponse.Topics.TopicID":                                                        asked,
	"FetchRequest.Topics.TopicID":                                                           alone,
	"FetchRequest.Topics.Partitions.ReplicaDirectoryID":                                     other,
	"FetchRequest.ForgottenTopics.TopicID":                                                  dropped,
	"FetchResponse.Topics.TopicID":                                                          asked,
	"MetadataRequest.Topics.TopicID":                                                        alone,
	"MetadataResponse.Topics.TopicID":                                                       named,
	"OffsetCommitRequest.Topics.TopicID":                                                    alone,
	"OffsetCommitResponse.Topics.TopicID":                                                   asked,
	"OffsetFetchRequest.Groups.Topics.TopicID":                                              alone,
	"OffsetFetchResponse.Groups.Topics.TopicID":                                             alone,
	"CreateTopicsResponse.Topics.TopicID":                                                   named,
	"DeleteTopicsRequest.Topics.TopicID":                                                    alone,
	"DeleteTopicsResponse.Topics.TopicID":                                                   asked,
	"TxnOffsetCommitRequest.Topics.TopicID":                                                 alone,
	"TxnOffsetCommitResponse.Topics.TopicID":                                                asked,
	"ConsumerGroupHeartbeatRequest.Topics.TopicID":                                          alone,
	"ConsumerGroupHeartbeatResponse.Assignment.Topics.TopicID":                              alone,
	"ConsumerGroupDescribeResponse.Groups.Members.Assignment.TopicPartitions.TopicID":       named,
	"ConsumerGroupDescribeResponse.Groups.Members.TargetAssignment.TopicPartitions.TopicID": named,
	"DescribeTopicPartitionsResponse.Topics.TopicID":                                        named,
	"ShareGroupHeartbeatResponse.Assignment.TopicPartitions.TopicID":                        alone,
	"ShareGroupDescribeResponse.Groups.Members.Assignment.TopicPartitions.TopicID":          named,
	"ShareFetchRequest.Topics.TopicID":                                                      alone,
	"ShareFetchRequest.ForgottenTopicsData.TopicID":                                         alone,
	"ShareFetchResponse.Topics.TopicID":                                                     alone,
	"ShareAcknowledgeRequest.Topics.TopicID":                                                alone,
	"ShareAcknowledgeResponse.Topics.TopicID":                                               asked,
	"DescribeShareGroupOffsetsResponse.Groups.Topics.TopicID":                               named,
	"AlterShareGroupOffsetsResponse.Topics.TopicID":                                         named,
	"DeleteShareGroupOffsetsResponse.Topics.TopicID":                                        named,
}

// TestEveryIDHasARow: a new version of the protocol may bring others.
func TestEveryIDHasARow(t *testing.T) {
	var have []string
	var walk func(path string, ty reflect.Type)
	walk = func(path string, ty reflect.Type) {
		switch ty.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(path, ty.Elem())
		case reflect.Array:
			have = append(have, path)
		case reflect.Struct:
			for f := range ty.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		}
	}
	for _, api := range kafka.APIs() {
		if req := kmsg.RequestForKey(int16(api.Key)); req != nil && api.GoesTo != kafka.Refused {
			walk(api.Name+"Request", reflect.TypeOf(req).Elem())
			walk(api.Name+"Response", reflect.TypeOf(req.ResponseKind()).Elem())
		}
	}
	slices.Sort(have)
	if want := slices.Sorted(maps.Keys(idFields)); !slices.Equal(have, want) {
		t.Errorf("ids\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// item is what a test puts where a field's path leads.
type item struct {
	id   topicID
	name string
}

// put makes the structs of a path, the last list of them with the items.
func put(v reflect.Value, path []string, items ...item) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	f := v.FieldByName(path[0])
	if f.Kind() != reflect.Slice {
		put(f, path[1:], items...)
		return
	}
	n := 1
	if len(path) == 2 {
		n = len(items)
	}
	f.Set(reflect.MakeSlice(f.Type(), n, n))
	for i := range n {
		if len(path) > 2 {
			put(f.Index(i), path[1:], items...)
			continue
		}
		f.Index(i).FieldByName(path[1]).Set(reflect.ValueOf(items[i].id))
		if p := f.Index(i).FieldByName("Partitions"); p.IsValid() {
			p.Set(reflect.MakeSlice(p.Type(), 1, 1))
		}
		if name := f.Index(i).FieldByName("Topic"); items[i].name != "" {
			text(name.Addr().Elem(), func(string) string { return items[i].name })
			if name.Kind() == reflect.Pointer {
				name.Set(reflect.ValueOf(&items[i].name))
			}
		}
	}
}

// got lists the ids where a path leads.
func got(v reflect.Value, path []string) (out []topicID) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out = got(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, got(v.Index(i), path)...)
		}
	case reflect.Struct:
		out = got(v.FieldByName(path[0]), path[1:])
	case reflect.Array:
		out = append(out, v.Interface().(topicID))
	}
	return out
}

// eachRow runs a test for every row of idFields that is of a kind.
func eachRow(t *testing.T, what string, kinds []string, run func(t *testing.T, key kmsg.Key, path []string)) {
	for row, kind := range idFields {
		message, path, _ := strings.Cut(row, ".")
		api, ok := strings.CutSuffix(message, what)
		if !ok || !slices.Contains(kinds, kind) {
			continue
		}
		key, _ := kafka.KeyOf(api)
		t.Run(row, func(t *testing.T) { run(t, key, strings.Split(path, ".")) })
	}
}

// world has topics of which the catalog knows orders alone.
func world(t *testing.T) (*Topics, plugin.Env, *plugintest.Cluster) {
	t.Helper()
	prod := plugintest.NewCluster("prod", 0, 2, "orders", "new", "secret")
	prod.Late("late")
	env := plugintest.Env(t, prod)
	n, err := New(env, plugintest.Section(t, `{hide: [secret]}`))
	if err != nil {
		t.Fatal(err)
	}
	env.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "prod", nil, true })
	plugintest.Ensure(t, env, prod, "orders")
	return n, env, prod
}

func message(key kmsg.Key) kmsg.Request {
	api, _ := kafka.Lookup(key)
	m := kmsg.RequestForKey(int16(key))
	m.SetVersion(api.MaxVersion)
	if p, ok := m.(*kmsg.ProduceRequest); ok {
		p.Acks = -1
	}
	return m
}

// TestNoIDIsSentOnAsZero, nor as it came: an id that clients make up may be one of the cluster's.
func TestNoIDIsSentOnAsZero(t *testing.T) {
	made := plugintest.ID("prod", "secret")
	eachRow(t, "Request", []string{alone}, func(t *testing.T, key kmsg.Key, path []string) {
		n, env, _ := world(t)
		m := message(key)
		put(reflect.ValueOf(m).Elem(), path, item{id: env.Catalog.Topic("orders").ID}, item{id: made}, item{id: topicID{9}})
		var sent []topicID
		var answered kmsg.Response
		resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			in := plugintest.Sent[kmsg.Request](t, f)
			sent = got(reflect.ValueOf(in), path)
			body, err := kafka.ErrorResponse(kafka.RequestBodyOf(in), kafka.UnknownTopicID, "")
			if err != nil {
				return nil, err
			}
			if answered, err = body.Peek(); err != nil {
				return nil, err
			}
			return plugintest.Encode(answered), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if key == kmsg.Metadata || key == kmsg.DeleteTopics { // known topics are asked for by name
			sent = slices.DeleteFunc(sent, func(id topicID) bool { return id == topicID{} })
		} else if !slices.Contains(sent, plugintest.ID("prod", "orders")) {
			t.Errorf("what is known is not asked for: %x", sent)
		}
		for _, id := range sent {
			if id == (topicID{}) || id == made || id == (topicID{9}) {
				t.Errorf("sent %x", id)
			}
		}
		for row, kind := range idFields {
			if back, ok := strings.CutPrefix(row, kmsg.NameForKey(int16(key))+"Response."); ok && kind == asked && back == strings.Join(path, ".") {
				have := got(reflect.ValueOf(plugintest.Decode[kmsg.Response](t, resp)), strings.Split(back, "."))
				for _, want := range []topicID{made, {9}} {
					if !slices.Contains(have, want) {
						t.Errorf("%x is not answered, of %x (the cluster said %+v)", want, have, answered)
					}
				}
			}
		}
	})
}

// TestNoIDIsAnsweredAsZero: what the gateway does not know yet it learns, what clients may not see
// is left out.
func TestNoIDIsAnsweredAsZero(t *testing.T) {
	eachRow(t, "Response", []string{alone, named}, func(t *testing.T, key kmsg.Key, path []string) {
		n, env, _ := world(t)
		kind := idFields[fmt.Sprintf("%sResponse.%s", kmsg.NameForKey(int16(key)), strings.Join(path, "."))]
		resp, err := n.Intercept(t.Context(), plugintest.Request(t, message(key), "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			out := message(key).ResponseKind()
			var items []item
			for _, name := range []string{"new", "secret", "late"} {
				i := item{id: plugintest.ID("prod", name)}
				if kind == named {
					i.name = name
				}
				items = append(items, i)
			}
			put(reflect.ValueOf(out).Elem(), path, items...)
			if c, ok := out.(*kmsg.CreateTopicsResponse); ok {
				for i := range c.Topics {
					c.Topics[i].NumPartitions = 2
				}
			}
			return plugintest.Encode(out), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		have := got(reflect.ValueOf(plugintest.Decode[kmsg.Response](t, resp)), path)
		var want []topicID
		for _, name := range []string{"new", "late"} {
			known := env.Catalog.Topic(name)
			if known == nil {
				t.Fatalf("%s is not learnt", name)
			}
			want = append(want, known.ID)
		}
		if key == kmsg.CreateTopics { // what a client has asked for is answered, hidden or not
			have = slices.DeleteFunc(have, func(id topicID) bool {
				return !slices.Contains(want, id) && id != topicID{} && id != plugintest.ID("prod", "secret")
			})
		}
		if !slices.Equal(have, want) {
			t.Errorf("answered %x, want %x", have, want)
		}
	})
}

// TestAMemberIsToldOfWhatItIsToHave once, so that what nobody knows the name of is asked for again,
// all of it.
func TestAMemberIsToldOfWhatItIsToHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, prod := world(t)
		beat := func(topics ...string) *kmsg.ConsumerGroupHeartbeatResponse {
			resp, err := n.Intercept(t.Context(), plugintest.Request(t, message(kmsg.ConsumerGroupHeartbeat), "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
				out := message(kmsg.ConsumerGroupHeartbeat).ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
				a := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
				for _, name := range topics {
					a.Topics = append(a.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: plugintest.ID("prod", name), Partitions: []int32{0}})
				}
				out.Assignment = &a
				return plugintest.Encode(out), nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			return plugintest.Decode[*kmsg.ConsumerGroupHeartbeatResponse](t, resp)
		}
		if r := beat("orders", "gone"); kafka.Code(r.ErrorCode) != kafka.NotCoordinator {
			t.Errorf("code %d", r.ErrorCode)
		}
		prod.Late("gone")
		if r := beat("orders", "gone"); r.ErrorCode != 0 || len(r.Assignment.Topics) != 2 {
			t.Errorf("code %d, assignment %+v", r.ErrorCode, r.Assignment)
		}
		before := prod.Refreshes()
		if r := beat("secret"); r.ErrorCode != 0 || r.Assignment == nil || len(r.Assignment.Topics) != 0 {
			t.Errorf("hidden: code %d, assignment %+v", r.ErrorCode, r.Assignment)
		}
		if n := prod.Refreshes() - before; n != 0 {
			t.Errorf("hidden: the cluster was asked %d times", n)
		}
	})
}

// TestAMemberOfACopyIsToldOfTheTopic that lives on another cluster, and is new.
func TestAMemberOfACopyIsToldOfTheTopic(t *testing.T) {
	prod, dr := plugintest.NewCluster("prod", 0, 2, "copied", "stray"), plugintest.NewCluster("dr", 1, 2)
	dr.Late("copied")
	env := plugintest.Env(t, prod, dr)
	n, err := New(env, plugintest.Section(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	env.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "dr", nil, true })
	for name, shown := range map[string]bool{"copied": true, "stray": false} {
		x := n.names(t.Context(), plugintest.Request(t, message(kmsg.ConsumerGroupHeartbeat), "prod"))
		id, found := x.virtualID(plugintest.ID("prod", name), resolveWait)
		if known := env.Catalog.Topic(name); !found || shown != (known != nil) || known != nil && known.ID != id {
			t.Errorf("%s: id %x, found %t, in the catalog %v", name, id, found, known)
		}
	}
}

// TestACreateTopicsThatOnlyAsksMakesNothingKnown.
func TestACreateTopicsThatOnlyAsksMakesNothingKnown(t *testing.T) {
	n, env, _ := world(t)
	m := message(kmsg.CreateTopics).(*kmsg.CreateTopicsRequest)
	m.ValidateOnly = true
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		out := m.ResponseKind().(*kmsg.CreateTopicsResponse)
		out.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: "maybe", TopicID: topicID{7}, NumPartitions: 3}}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if id := plugintest.Decode[*kmsg.CreateTopicsResponse](t, resp).Topics[0].TopicID; id == (topicID{}) || id == (topicID{7}) {
		t.Errorf("answered %x", id)
	}
	if env.Catalog.Topic("maybe") != nil {
		t.Error("the catalog knows it")
	}
}

// TestWhoJoinsWithTopicsIsRefusedByTheBroker, also if nobody knows them: a member that has joined
// gives up what is gone.
func TestWhoJoinsWithTopicsIsRefusedByTheBroker(t *testing.T) {
	n, _, _ := world(t)
	for epoch, want := range map[int32]int{0: 1, 3: 0} {
		m := message(kmsg.ConsumerGroupHeartbeat).(*kmsg.ConsumerGroupHeartbeatRequest)
		m.MemberEpoch = epoch
		m.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: topicID{9, 9}, Partitions: []int32{0}}}
		_, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			if got := plugintest.Sent[*kmsg.ConsumerGroupHeartbeatRequest](t, f).Topics; len(got) != want {
				t.Errorf("epoch %d: %d topics sent, want %d", epoch, len(got), want)
			}
			return plugin.Fail(f, 42, "")
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
}
