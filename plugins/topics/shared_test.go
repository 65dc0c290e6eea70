package topics

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"encoding/json"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// everybodysRequests asks or changes what is everybody's, one part each.
func everybodysRequests() []kmsg.Request {
	name := "u"
	filter := kmsg.NewDeleteACLsRequestFilter()
	out := []kmsg.Request{
		kmsg.NewPtrDescribeACLsRequest(),
		&kmsg.CreateACLsRequest{Creations: []kmsg.CreateACLsRequestCreation{kmsg.NewCreateACLsRequestCreation()}},
		&kmsg.DeleteACLsRequest{Filters: []kmsg.DeleteACLsRequestFilter{filter}},
		kmsg.NewPtrDescribeClientQuotasRequest(),
		&kmsg.AlterClientQuotasRequest{Entries: []kmsg.AlterClientQuotasRequestEntry{{Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: &name}}}}},
		kmsg.NewPtrDescribeUserSCRAMCredentialsRequest(),
		&kmsg.AlterUserSCRAMCredentialsRequest{Upsertions: []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: name, Mechanism: 1, Iterations: 4096}}},
		&kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeClientMetrics, ResourceName: "m"}}},
	}
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics, unknownType} {
		for _, name := range []string{"", "1048577"} {
			out = append(out,
				&kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: kind, ResourceName: name}}},
				&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name}}})
		}
	}
	for _, m := range out {
		api, _ := kafka.Lookup(kmsg.Key(m.Key()))
		m.SetVersion(api.MaxVersion)
	}
	return out
}

// unknownType is a type of resources that may come.
const unknownType kmsg.ConfigResourceType = 64

func ofUnknownType(m kmsg.Request) bool {
	switch m := m.(type) {
	case *kmsg.AlterConfigsRequest:
		return m.Resources[0].ResourceType == unknownType
	case *kmsg.IncrementalAlterConfigsRequest:
		return m.Resources[0].ResourceType == unknownType
	}
	return false
}

var errorCodes = regexp.MustCompile(`"ErrorCode":(-?\d+)`)

// codesOf are the error codes of an answer.
func codesOf(t *testing.T, resp *plugin.Response) (out []string) {
	t.Helper()
	b, err := json.Marshal(plugintest.Decode[kmsg.Response](t, resp))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range errorCodes.FindAllStringSubmatch(string(b), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestWhatIsEverybodysIsRefused in a virtual cluster with a prefix, as by brokers whose ACLs end at
// the prefix, and goes through in one without.
func TestWhatIsEverybodysIsRefused(t *testing.T) {
	with, _ := build(t)
	without, _, _ := world(t)
	for i, m := range everybodysRequests() {
		t.Run(fmt.Sprintf("%d %s", i, kmsg.NameForKey(m.Key())), func(t *testing.T) {
			asked := false
			end := plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
				asked = true
				return plugin.Fail(f, 0, "")
			})
			resp, err := with.Intercept(t.Context(), plugintest.Request(t, m, "prod"), end)
			if err != nil {
				t.Fatal(err)
			}
			want := "31"
			if ofUnknownType(m) {
				want = "42"
			}
			if got := codesOf(t, resp); !slices.Equal(got, []string{want}) {
				t.Errorf("codes %v, want %s", got, want)
			}
			if asked {
				t.Error("the cluster was asked")
			}
			if !with.Keys().Has(kmsg.Key(m.Key())) {
				t.Error("the plugin does not stand in the row")
			}
			if _, err := without.Intercept(t.Context(), plugintest.Request(t, m, "prod"), end); err != nil || !asked {
				t.Errorf("without a prefix: asked %t, %v", asked, err)
			}
		})
	}
}

// TestEveryWholeAPIIsTried by TestWhatIsEverybodysIsRefused.
func TestEveryWholeAPIIsTried(t *testing.T) {
	for _, api := range kafka.APIs() {
		tried := slices.ContainsFunc(everybodysRequests(), func(m kmsg.Request) bool { return m.Key() == int16(api.Key) })
		if api.Scope == kafka.Whole && !tried {
			t.Errorf("%s is not", api.Name)
		}
	}
}

// TestOnlyWhatIsEverybodysIsTakenOut of a request that names its own topics and groups too.
func TestOnlyWhatIsEverybodysIsTakenOut(t *testing.T) {
	n, _ := build(t)
	m := message(kmsg.IncrementalAlterConfigs).(*kmsg.IncrementalAlterConfigsRequest)
	for kind, name := range map[kmsg.ConfigResourceType]string{kmsg.ConfigResourceTypeTopic: "orders", kmsg.ConfigResourceTypeBroker: "", kmsg.ConfigResourceTypeGroupConfig: "g"} {
		m.Resources = append(m.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name})
	}
	var sent []string
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		for _, r := range plugintest.Sent[*kmsg.IncrementalAlterConfigsRequest](t, f).Resources {
			sent = append(sent, r.ResourceName)
		}
		return plugin.Fail(f, 0, "")
	}))
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(sent); !slices.Equal(sent, []string{"vc.g", "vc.orders"}) {
		t.Errorf("sent %v", sent)
	}
	answered := map[string]int16{}
	for _, r := range plugintest.Decode[*kmsg.IncrementalAlterConfigsResponse](t, resp).Resources {
		answered[r.ResourceName] = r.ErrorCode
	}
	if want := map[string]int16{"orders": 0, "g": 0, "": 31}; fmt.Sprint(answered) != fmt.Sprint(want) {
		t.Errorf("answered %v, want %v", answered, want)
	}
}

// TestAllLeadersAreThoseOfItsOwnTopics where a prefix divides a cluster; those that are as they
// should be are not told of, as by a broker.
func TestAllLeadersAreThoseOfItsOwnTopics(t *testing.T) {
	n, env := build(t)
	m := message(kmsg.ElectLeaders).(*kmsg.ElectLeadersRequest)
	m.Topics = nil
	var sent []kmsg.ElectLeadersRequestTopic
	elect := func() *kmsg.ElectLeadersResponse {
		t.Helper()
		resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			in := plugintest.Sent[*kmsg.ElectLeadersRequest](t, f)
			sent = in.Topics
			out := in.ResponseKind().(*kmsg.ElectLeadersResponse)
			out.SetVersion(in.Version)
			for _, x := range in.Topics {
				out.Topics = append(out.Topics, kmsg.ElectLeadersResponseTopic{Topic: x.Topic, Partitions: []kmsg.ElectLeadersResponseTopicPartition{{Partition: 0, ErrorCode: int16(kafka.ElectionNotNeeded)}, {Partition: 1}}})
			}
			return plugintest.Encode(out), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return plugintest.Decode[*kmsg.ElectLeadersResponse](t, resp)
	}
	if r := elect(); len(r.Topics) != 0 || sent != nil {
		t.Errorf("without topics: asked for %v, answered %v", sent, r.Topics)
	}
	if err := env.Catalog.Ensure(t.Context(), seen("orders")); err != nil {
		t.Fatal(err)
	}
	r := elect()
	if len(sent) != 1 || sent[0].Topic != "vc.orders" || !slices.Equal(sent[0].Partitions, []int32{0, 1}) {
		t.Errorf("asked for %+v", sent)
	}
	about := fact.Of(t, "answered %+v", r.Topics)
	if fact.Equal(about, "len(r.Topics)", len(r.Topics), 1) {
		fact.Equal(about, "r.Topics[0].Topic", r.Topics[0].Topic, "orders")
		if fact.Equal(about, "len(r.Topics[0].Partitions)", len(r.Topics[0].Partitions), 1) {
			fact.Equal(about, "r.Topics[0].Partitions[0].Partition", r.Topics[0].Partitions[0].Partition, 1)
		}
	}
}

// TestAnElectionThatIsRefusedNamesNoTopics to a client that has named none.
func TestAnElectionThatIsRefusedNamesNoTopics(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: [16]byte{1}, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	m := message(kmsg.ElectLeaders).(*kmsg.ElectLeadersRequest)
	m.Topics, m.ElectionType = nil, 7
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		return plugin.Fail(f, 42, "")
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := plugintest.Decode[*kmsg.ElectLeadersResponse](t, resp); len(got.Topics) != 0 {
		t.Errorf("topics %+v", got.Topics)
	}
}

// TestAnElectionNamesNoTopicThatIsGone: the catalog may know one that was deleted a moment ago.
func TestAnElectionNamesNoTopicThatIsGone(t *testing.T) {
	n, env := build(t)
	for i, name := range []string{"orders", "deleted"} {
		if err := env.Catalog.Ensure(t.Context(), catalog.Seen{Name: name, Cluster: "prod", ID: [16]byte{byte(i + 1)}, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	m := message(kmsg.ElectLeaders).(*kmsg.ElectLeadersRequest)
	m.Topics = nil
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrElectLeadersResponse()
		out.SetVersion(f.Version)
		for _, x := range plugintest.Sent[*kmsg.ElectLeadersRequest](t, f).Topics {
			topic := kmsg.ElectLeadersResponseTopic{Topic: x.Topic}
			for _, p := range x.Partitions {
				code := int16(kafka.ElectionNotNeeded)
				if x.Topic == "vc.deleted" {
					code = int16(kafka.UnknownTopicOrPartition)
				}
				topic.Partitions = append(topic.Partitions, kmsg.ElectLeadersResponseTopicPartition{Partition: p, ErrorCode: code})
			}
			out.Topics = append(out.Topics, topic)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range plugintest.Decode[*kmsg.ElectLeadersResponse](t, resp).Topics {
		names = append(names, fmt.Sprint(x.Topic, " ", len(x.Partitions)))
	}
	if slices.Sort(names); slices.Contains(names, "deleted 0") || !slices.Contains(names, "orders 0") {
		t.Errorf("topics %q", names)
	}
}
