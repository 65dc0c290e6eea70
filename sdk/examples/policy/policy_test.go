package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
	"github.com/sluice-gateway/sluice/testing/fact"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"name": "[a-z.]+"}`: "",
		`{"partitions": {"min": 1, "max": 9}, "configs": {"allowed": ["retention.*"], "required": {"x": "*"}}}`: "",
		`{"owners": [{"clients": "app-*", "prefixes": ["app."]}]}`:                                              "",
		`{}`:                                   "has no rule",
		`{"name": "("}`:                        "config.name",
		`{"partitions": {"min": 9, "max": 1}}`: "config.partitions",
		`{"replication_factor": {"min": -1}}`:  "config.replication_factor",
		`{"configs": {"allowed": ["["]}}`:      "config.configs.allowed",
		`{"owners": [{"prefixes": ["a"]}]}`:    "config.owners[0] needs",
		`{"owners": [{"clients": "a"}]}`:       "config.owners[0].prefixes",
		`{"names": "x"}`:                       "unknown field",
	} {
		_, err := newRules([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// topic is one to create; configs are k=v.
func topic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	return t
}

// placed is a topic with an assignment of its replicas.
func placed(name string, replicas ...int) kmsg.CreateTopicsRequestTopic {
	t := topic(name, -1, -1)
	for i, n := range replicas {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: make([]int32, n)})
	}
	return t
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		config string
		topic  kmsg.CreateTopicsRequestTopic
		want   string
	}{
		{`"name": "[a-z.]+"`, topic("orders.eu", 1, 1), ""},
		{`"name": "[a-z.]+"`, topic("orders_eu", 1, 1), "the name must match"},
		{`"name": "a|b"`, topic("ab", 1, 1), "the name must match"},
		{`"partitions": {"min": 2, "max": 4}`, topic("t", 2, 1), ""},
		{`"partitions": {"min": 2, "max": 4}`, topic("t", 1, 1), "partitions 1: at least 2"},
		{`"partitions": {"min": 2, "max": 4}`, topic("t", 5, 1), "partitions 5: at most 4"},
		{`"partitions": {"min": 2, "max": 4}`, topic("t", -1, 1), ""},
		{`"partitions": {"min": 2}, "broker_defaults": false`, topic("t", -1, 1), "must be said"},
		{`"partitions": {"max": 4}`, placed("t", 1, 1, 1, 1, 1), "partitions 5"},
		{`"replication_factor": {"min": 3}`, topic("t", 1, 2), "replication factor 2: at least 3"},
		{`"replication_factor": {"min": 3, "max": 3}`, placed("t", 3, 2), "replication factor 2"},
		{`"replication_factor": {"min": 3, "max": 3}`, placed("t", 3, 4), "replication factor 4"},
		{`"replication_factor": {"min": 3, "max": 3}`, placed("t", 3, 3), ""},
		{`"configs": {"allowed": ["retention.*"]}`, topic("t", 1, 1, "retention.ms=1"), ""},
		{`"configs": {"allowed": ["retention.*"]}`, topic("t", 1, 1, "cleanup.policy=compact"), "cleanup.policy may not be set; allowed: retention.*"},
		{`"configs": {"allowed": []}`, topic("t", 1, 1, "x=1"), "x may not be set"},
		{`"configs": {"required": {"min.insync.replicas": "2"}}`, topic("t", 1, 1), "min.insync.replicas must be 2"},
		{`"configs": {"required": {"min.insync.replicas": "2"}}`, topic("t", 1, 1, "min.insync.replicas=1"), "min.insync.replicas must be 2"},
		{`"configs": {"required": {"min.insync.replicas": "2"}, "allowed": []}`, topic("t", 1, 1, "min.insync.replicas=2"), ""},
		{`"configs": {"required": {"retention.ms": "*"}}`, topic("t", 1, 1), "retention.ms must be set"},
		{`"configs": {"required": {"retention.ms": "*"}}`, topic("t", 1, 1, "retention.ms=5"), ""},
	} {
		r, err := newRules([]byte("{" + c.config + "}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.check(&c.topic); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s, %+v: %q, want %q", c.config, c.topic, got, c.want)
		}
	}
}

func TestOwners(t *testing.T) {
	r, err := newRules([]byte(`{"owners": [{"principals": ["User:admin"], "prefixes": [""]}, {"principals": "User:*", "clients": "app/*", "prefixes": ["app.", "x."]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ client, principal, topic, want string }{
		{"any", "User:admin", "anything", ""},
		{"app/1", "User:bob", "app.orders", ""},
		{"app/1", "User:bob", "x.orders", ""},
		{"app/1", "User:bob", "orders", "must begin with app. or x."},
		{"app/1", "", "app.orders", "you own no prefix"},
		{"web", "User:bob", "app.orders", "you own no prefix"},
	} {
		prefixes, known := r.prefixes(c.client, c.principal)
		if got := owned(c.topic, prefixes, known); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

var le = binary.LittleEndian

// call shows a message to a guest and returns the action, and the state and the body it made.
func call(g *sdk.Guest, kind uint16, version int16, state, body []byte) (action uint16, code int16, newState, newBody []byte) {
	block := sdktest.Block(kind, 19, uint16(version), sdktest.Client{ID: "app-1", Principal: "User:alice"}, nil)
	for at, p := range map[int][]byte{abi.HeadState: state, abi.HeadBody: body} {
		le.PutUint32(block[at:], uint32(len(block)))
		le.PutUint32(block[at+4:], uint32(len(p)))
		block = append(block, p...)
	}
	out := g.Call(block)
	if out == nil {
		return abi.ActionForward, 0, nil, nil
	}
	piece := func(at int) []byte {
		off := le.Uint32(out[at:])
		if off == 0 {
			return nil
		}
		return slices.Clone(out[off : off+le.Uint32(out[at+4:])])
	}
	return le.Uint16(out[abi.ResultAction:]), int16(le.Uint16(out[abi.ResultCode:])), piece(abi.ResultState), piece(abi.ResultBody)
}

func guest(t testing.TB, config string) *sdk.Guest {
	t.Helper()
	p := &policy{}
	g := sdk.New("policy", p, p.options()...)
	if config != "" {
		if err := g.Configure([]byte(config)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func request(version int16, validate bool, topics ...kmsg.CreateTopicsRequestTopic) []byte {
	m := kmsg.NewCreateTopicsRequest()
	m.Version, m.ValidateOnly, m.Topics = version, validate, topics
	return m.AppendTo(nil)
}

func answers(t *testing.T, version int16, body []byte) (names []string) {
	t.Helper()
	m := kmsg.NewCreateTopicsResponse()
	m.Version = version
	if err := m.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	for _, topic := range m.Topics {
		s := fmt.Sprintf("%s:%d", topic.Topic, topic.ErrorCode)
		if version >= 1 && topic.ErrorMessage != nil {
			s += ":" + *topic.ErrorMessage
		}
		names = append(names, s)
	}
	return names
}

const small = `{"partitions": {"max": 4}}`

// TestEveryVersion mixes a topic that is allowed with one that is not, in every version of the API.
func TestEveryVersion(t *testing.T) {
	for version := range kmsg.NewPtrCreateTopicsRequest().MaxVersion() + 1 {
		g := guest(t, small)
		validate := version >= 1
		action, _, state, body := call(g, abi.KindRequest, version, nil, request(version, validate, topic("big", 5, 1), topic("ok", 1, 1)))
		sent := kmsg.NewCreateTopicsRequest()
		sent.Version = version
		if err := sent.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		about := fact.Of(t, "v%d: action %d, sent %+v", version, action, sent)
		fact.Equal(about, "action", action, abi.ActionForward)
		if fact.Equal(about, "len(sent.Topics)", len(sent.Topics), 1) {
			fact.Equal(about, "sent.Topics[0].Topic", sent.Topics[0].Topic, "ok")
			fact.Equal(about, "sent.ValidateOnly", sent.ValidateOnly, validate)
		}
		resp := kmsg.NewCreateTopicsResponse()
		resp.Version = version
		created := kmsg.NewCreateTopicsResponseTopic()
		created.Topic = "ok"
		resp.Topics = append(resp.Topics, created)
		// The answer may meet another instance.
		_, _, _, body = call(guest(t, small), abi.KindResponse, version, state, resp.AppendTo(nil))
		want := "ok:0 big:44"
		if version >= 1 {
			want += ":partitions 5: at most 4"
		}
		if got := strings.Join(answers(t, version, body), " "); got != want {
			t.Errorf("v%d: %q, want %q", version, got, want)
		}
	}
}

func TestAllOrNone(t *testing.T) {
	action, _, _, body := call(guest(t, small), abi.KindRequest, 7, nil, request(7, false, topic("big", 5, 1), topic("bigger", 6, 1)))
	if got := answers(t, 7, body); action != abi.ActionRespond || len(got) != 2 || got[1] != "bigger:44:partitions 6: at most 4" {
		t.Errorf("action %d, %q", action, got)
	}
	action, _, state, body := call(guest(t, small), abi.KindRequest, 7, nil, request(7, false, topic("a", 1, 1), topic("b", 2, 1)))
	if action != abi.ActionForward || state != nil || body != nil {
		t.Errorf("action %d, state %q: what is allowed is not touched", action, state)
	}
	resp := kmsg.NewCreateTopicsResponse()
	resp.Version = 7
	if _, _, _, body := call(guest(t, small), abi.KindResponse, 7, nil, resp.AppendTo(nil)); body != nil {
		t.Error("an answer without state is changed")
	}
}

// TestMoreThanStateHolds: nothing is created rather than something left unanswered.
func TestMoreThanStateHolds(t *testing.T) {
	topics := []kmsg.CreateTopicsRequestTopic{topic("ok", 1, 1)}
	for i := range 40 {
		topics = append(topics, topic(fmt.Sprint(strings.Repeat("x", 100), i), 5, 1))
	}
	action, _, _, body := call(guest(t, small), abi.KindRequest, 7, nil, request(7, false, topics...))
	got := answers(t, 7, body)
	if action != abi.ActionRespond || len(got) != 41 || !strings.HasPrefix(got[40], "ok:44:not tried") {
		t.Errorf("action %d, %d answers, %q", action, len(got), got[len(got)-1])
	}
}

func TestWithoutConfig(t *testing.T) {
	if action, code, _, _ := call(guest(t, ""), abi.KindRequest, 7, nil, request(7, false, topic("t", 1, 1))); action != abi.ActionError || code != sdk.PolicyViolation {
		t.Errorf("action %d, code %d", action, code)
	}
}

func TestManifest(t *testing.T) {
	if m := string(guest(t, small).Manifest()); !strings.Contains(m, `"requests":[{"api":19,"max":7}],"responses":[{"api":19,"max":7}]`) {
		t.Error(m)
	}
}

func BenchmarkRequest(b *testing.B) {
	g := guest(b, `{"name": "[a-z.]+", "partitions": {"max": 4}, "configs": {"allowed": ["retention.*"]}}`)
	body := request(7, false, topic("a", 5, 1), topic("b", 2, 1, "retention.ms=5"))
	b.ReportAllocs()
	for b.Loop() {
		call(g, abi.KindRequest, 7, nil, body)
	}
}
