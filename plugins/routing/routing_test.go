package routing

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

func build(t *testing.T, yaml string) (*Routing, plugin.Env) {
	t.Helper()
	prod, dr := plugintest.NewCluster("prod", 0, 4, "orders", "logs-a", "both"), plugintest.NewCluster("dr", 1, 4, "orders", "logs-a", "both")
	env := plugintest.Env(t, prod, dr)
	r, err := New(t.Context(), env, plugintest.Section(t, yaml))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
		h := r.Home(topic)
		return h.Cluster, map[string]string{"prod": topic, "dr": topic}, h.Shown
	})
	plugintest.Ensure(t, env, prod, "orders")
	plugintest.Ensure(t, env, dr, "logs-a")
	return r, env
}

const rulesYAML = `{default: prod, topics: {"logs-*": {cluster: dr}, "logs-audit-*": {cluster: prod}, exact: {cluster: dr, names: {dr: there}}, gone: {cluster: none}}, groups: {"app-*": dr}, transactions: {"pay-*": dr}}`

func TestRules(t *testing.T) {
	r, _ := build(t, rulesYAML)
	for topic, want := range map[string]string{"x": "prod", "logs-a": "dr", "logs-audit-a": "prod", "exact": "dr", "gone": ""} {
		if h := r.Home(topic); h.Cluster != want || h.Shown != (want != "") {
			t.Errorf("%s: %+v", topic, h)
		}
	}
	if n := r.Home("exact").Names["dr"]; n != "there" {
		t.Errorf("physical name %q", n)
	}
	if r.GroupHome("app-1") != "dr" || r.GroupHome("other") != "prod" || r.rules.transaction("pay-1") != "dr" {
		t.Error("homes of groups and transactions")
	}
}

func TestBadRulesAreAllNamed(t *testing.T) {
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1), plugintest.NewCluster("dr", 1, 1))
	_, err := New(t.Context(), env, plugintest.Section(t, `{default: mars, topics: {a: {cluster: venus}, "b[": {cluster: prod}, "c*": {cluster: dr, names: {dr: x}}, d: {cluster: prod, unplanned: perhaps, copy: guess}, e: {cluster: prod, names: {prod: same}}, f: {cluster: prod, names: {prod: same}}}, groups: {g: pluto}, create_on: some}`))
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatal(err)
	}
	for _, want := range []string{"mars", "venus", "b[", "glob", "perhaps", "guess", "same", "pluto", "some"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
	for _, e := range errs {
		if e.Line == 0 || e.Col == 0 {
			t.Errorf("no position: %v", e)
		}
	}
}

// TestRequestsAreForkedByHome and their answers merged, in the order of the request.
func TestRequestsAreForkedByHome(t *testing.T) {
	r, _ := build(t, rulesYAML)
	m := kmsg.NewPtrListOffsetsRequest()
	m.SetVersion(7)
	for _, name := range []string{"orders", "logs-a"} {
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = name
		rt.Partitions = append(rt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
		m.Topics = append(m.Topics, rt)
	}
	asked := make(chan string, 4)
	resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		in := plugintest.Sent[*kmsg.ListOffsetsRequest](t, req)
		out := in.ResponseKind().(*kmsg.ListOffsetsResponse)
		out.SetVersion(req.Version)
		for _, x := range in.Topics {
			asked <- req.Target.Cluster + ":" + x.Topic
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = x.Topic
			rt.Partitions = append(rt.Partitions, kmsg.NewListOffsetsResponseTopicPartition())
			out.Topics = append(out.Topics, rt)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{<-asked, <-asked}
	slices.Sort(got)
	if !slices.Equal(got, []string{"dr:logs-a", "prod:orders"}) {
		t.Errorf("asked %v", got)
	}
	if out := plugintest.Decode[*kmsg.ListOffsetsResponse](t, resp); len(out.Topics) != 2 {
		t.Errorf("answer %+v", out)
	}
}

// TestTransactionsStayAtTheirHome: a partition away from it gets 120, or what older versions know.
func TestTransactionsStayAtTheirHome(t *testing.T) {
	r, _ := build(t, rulesYAML)
	nobody := plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		t.Error("a cluster was asked")
		return nil, errors.New("no")
	})
	for version, want := range map[int16]int16{3: 59, 5: 120} {
		m := kmsg.NewPtrAddPartitionsToTxnRequest()
		m.SetVersion(version)
		if version < 4 {
			m.TransactionalID = "mine"
			for _, name := range []string{"orders", "logs-a"} {
				m.Topics = append(m.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: name, Partitions: []int32{0}})
			}
		} else {
			x := kmsg.NewAddPartitionsToTxnRequestTransaction()
			x.TransactionalID = "mine"
			for _, name := range []string{"orders", "logs-a"} {
				x.Topics = append(x.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: name, Partitions: []int32{0}})
			}
			m.Transactions = append(m.Transactions, x)
		}
		resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), nobody)
		if err != nil {
			t.Fatal(err)
		}
		out := plugintest.Decode[*kmsg.AddPartitionsToTxnResponse](t, resp)
		codes := map[string]int16{}
		for _, x := range out.Topics {
			codes[x.Topic] = x.Partitions[0].ErrorCode
		}
		for _, tx := range out.Transactions {
			for _, x := range tx.Topics {
				codes[x.Topic] = x.Partitions[0].ErrorCode
			}
		}
		if kafka.Code(codes["orders"]) != kafka.OperationNotAttempted || codes["logs-a"] != want {
			t.Errorf("version %d: %v", version, codes)
		}
	}
	for version, want := range map[int16]int16{3: 59, 5: 120} {
		m := kmsg.NewPtrTxnOffsetCommitRequest()
		m.SetVersion(version)
		m.TransactionalID, m.Group = "mine", "app-1"
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = "orders"
		rt.Partitions = append(rt.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
		m.Topics = append(m.Topics, rt)
		resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), nobody)
		if err != nil {
			t.Fatal(err)
		}
		if out := plugintest.Decode[*kmsg.TxnOffsetCommitResponse](t, resp); out.Topics[0].Partitions[0].ErrorCode != want {
			t.Errorf("TxnOffsetCommit version %d: %+v", version, out)
		}
	}
	for version, want := range map[int16]int16{11: 47, 12: 120} {
		m := kmsg.NewPtrProduceRequest()
		m.SetVersion(version)
		id := "mine"
		m.TransactionID, m.Acks = &id, -1
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = "logs-a"
		rt.Partitions = append(rt.Partitions, kmsg.NewProduceRequestTopicPartition())
		m.Topics = append(m.Topics, rt)
		resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), nobody)
		if err != nil {
			t.Fatal(err)
		}
		if out := plugintest.Decode[*kmsg.ProduceResponse](t, resp); out.Topics[0].Partitions[0].ErrorCode != want {
			t.Errorf("Produce version %d: code %d", version, out.Topics[0].Partitions[0].ErrorCode)
		}
	}
}

// TestATopicThatIsTakenAwayWhileAProduceWaits: it does not go to some other cluster.
func TestATopicThatIsTakenAwayWhileAProduceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, env := build(t, rulesYAML)
		gate := env.Gates.Gate("orders")
		gate.Hold(t)
		m := kmsg.NewPtrProduceRequest()
		m.SetVersion(9)
		m.Acks = -1
		rt, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		p.Records = []byte("records")
		rt.Topic, rt.Partitions = "orders", append(rt.Partitions, p)
		m.Topics = append(m.Topics, rt)
		answered := make(chan *plugin.Response, 1)
		go func() {
			resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
				t.Error("a cluster was asked")
				return nil, errors.New("no")
			}))
			if err != nil {
				t.Error(err)
			}
			answered <- resp
		}()
		synctest.Wait()
		env.Catalog.SetHidden(func(topic string) bool { return topic == "orders" })
		gate.Release(t)
		if out := plugintest.Decode[*kmsg.ProduceResponse](t, <-answered); kafka.Code(out.Topics[0].Partitions[0].ErrorCode) != kafka.UnknownTopicOrPartition {
			t.Errorf("%+v", out)
		}
		select {
		case <-gate.Idle():
		default:
			t.Error("still in flight")
		}
	})
}

// TestEveryOfferedAPIHasARow: none is sent to a cluster by chance.
func TestEveryOfferedAPIHasARow(t *testing.T) {
	r, _ := build(t, rulesYAML)
	for _, api := range kafka.APIs() {
		if api.GoesTo != kafka.Refused && api.GoesTo != kafka.Gateway && !r.Keys().Has(api.Key) {
			t.Errorf("%s has no row", api.Name)
		}
	}
}

func TestGroupsAreListedOnce(t *testing.T) {
	r, _ := build(t, rulesYAML)
	m := kmsg.NewPtrListGroupsRequest()
	m.SetVersion(4)
	resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrListGroupsResponse()
		out.SetVersion(4)
		for _, g := range []string{"app-1", "mine"} { // the replicator mirrors groups
			x := kmsg.NewListGroupsResponseGroup()
			x.Group, x.ProtocolType = g, req.Target.Cluster
			out.Groups = append(out.Groups, x)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, g := range plugintest.Decode[*kmsg.ListGroupsResponse](t, resp).Groups {
		if got[g.Group] != "" {
			t.Errorf("%s twice", g.Group)
		}
		got[g.Group] = g.ProtocolType
	}
	if got["app-1"] != "dr" || got["mine"] != "prod" || len(got) != 2 {
		t.Errorf("groups %v", got)
	}
}

func TestSetHomeEditsTheSmallestThing(t *testing.T) {
	r, _ := build(t, rulesYAML)
	for _, c := range []struct {
		topic, cluster, name string
		want                 int
	}{{"exact", "dr", "", 0}, {"exact", "prod", "", 1}, {"exact", "dr", "elsewhere", 1}, {"new", "dr", "", 1}, {"exact", "prod", "p", 2}} {
		if got := r.SetHome(c.topic, c.cluster, c.name); len(got) != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	// What a pattern says besides the home goes on to be so.
	r, _ = build(t, `{default: prod, topics: {"logs-*": {cluster: prod, unplanned: never, copy: identity}}}`)
	if got := r.SetHome("logs-a", "dr", ""); len(got) != 1 || !reflect.DeepEqual(got[0].Value, map[string]any{"cluster": "dr", "unplanned": "never", "copy": "identity"}) {
		t.Errorf("a rule made of a pattern's: %+v", got)
	}
	r, _ = build(t, rulesYAML)
	if got := r.LeaveCluster("prod", "dr"); len(got) != 2 {
		t.Errorf("leaving prod edits %+v", got)
	}
}

func TestConforms(t *testing.T) {
	r, _ := build(t, "{default: prod}")
	plugintest.Conform(t, r, "orders")
}
