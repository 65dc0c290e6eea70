package protocol

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

func (h *house) admin(c kafkatest.Cluster) *kadm.Client {
	return kadm.NewClient(h.client(c.Bootstrap()[0]))
}

func offsets(topic string, at int64) kadm.Offsets {
	var o kadm.Offsets
	o.AddOffset(topic, 0, at, -1)
	return o
}

// commit commits an offset of partition 0 for a group, through the gateway.
func (h *house) commit(topic, group string, at int64) {
	h.t.Helper()
	resp, err := kadm.NewClient(h.client(h.gw.Bootstrap)).CommitOffsets(h.ctx, group, offsets(topic, at))
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestTheAdminAPIMovesToAnotherAddress with an edit of the file, also if it is the API that makes
// an edit.
func TestTheAdminAPIMovesToAnotherAddress(t *testing.T) {
	h := build(t, "orders")
	port, err := kafkatest.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.TrimPrefix(h.gw.Admin, "http://")
	next := fmt.Sprintf("127.0.0.1:%d", port)
	if err := h.gw.Edit("admin: {listen: "+old, "admin: {listen: "+next); err != nil {
		t.Fatal(err)
	}
	h.wait("the new address", func() bool { return h.gw.AdminAddr().String() == next })
	h.gw.Admin = "http://" + next
	if code, body := h.call("GET", "/config", ""); code != 200 || !strings.Contains(body, next) {
		t.Errorf("%d %s", code, body)
	}
	h.wait("the end of the old one", func() bool {
		c, err := net.Dial("tcp", old)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	// Another place for the state is refused while the gateway runs.
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./other}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the refusal", func() bool {
		_, body := h.call("GET", "/config", "")
		return strings.Contains(body, "restart it to use")
	})
	if err := h.gw.Edit("state: {dir: ./other}", "state: {dir: ./state}"); err != nil {
		t.Fatal(err)
	}
	// An address that can't be had changes nothing.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := h.gw.Edit("admin: {listen: "+next, "admin: {listen: "+taken.Addr().String()); err != nil {
		t.Fatal(err)
	}
	h.wait("the refusal", func() bool {
		_, body := h.call("GET", "/config", "")
		return strings.Contains(body, "address already in use")
	})
}

// TestTheDemosCurlLines runs the calls of the well-known failover demo as they are written there;
// only the port is the test's.
func TestTheDemosCurlLines(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		kafkatest.Require(t, "curl")
	}
	h := build(t, "resilient_topic")
	h.crowd("resilient_topic")
	h.copier(kafkatest.Faults{}, "resilient_topic")
	run := func(script string) string {
		t.Helper()
		script = strings.ReplaceAll(script, "http://localhost:8888", h.gw.Admin)
		out, err := exec.CommandContext(h.ctx, "sh", "-ec", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	run(`curl --fail -s -X POST -H "authorization: Basic bm9uZTpub25l" http://localhost:8888/topicMappings/passThroughTenant/resilient_topic -d '{"clusterId": "prod", "topicName": "resilient_topic", "isVirtual": "true"}'`)
	run(`curl --fail -s -X POST -H "authorization: Basic bm9uZTpub25l" http://localhost:8888/topics/passThroughTenant -H "content-type: application/json" -d '{"name": "resilient_topic"}'`)
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "resilient_topic", "before", 10)
	run(`curl --fail -s -X DELETE -H "authorization: Basic bm9uZTpub25l" http://localhost:8888/topicMappings/passThroughTenant/resilient_topic`)
	h.produce(p, "resilient_topic", "between", 10) // the old home goes on serving
	run(`curl --fail -s -X POST -H "authorization: Basic bm9uZTpub25l" http://localhost:8888/topicMappings/passThroughTenant/resilient_topic -d '{"clusterId": "main", "topicName": "resilient_topic", "isVirtual": true, "isConcentrated": false, "isCompacted": "false"}'`)
	h.moved(1)
	h.produce(p, "resilient_topic", "after", 10)
	if got := h.gw.Topic(tenant, "resilient_topic").Home; got != "dr" {
		t.Errorf("the topic lives on %s", got)
	}
	if out := run(`curl --fail -s -H "authorization: Basic bm9uZTpub25l" http://localhost:8888/topicMappings/passThroughTenant`); !strings.Contains(out, `"clusterId": "dr"`) {
		t.Errorf("mappings: %s", out)
	}
	if !strings.Contains(h.file(), "resilient_topic: {cluster: dr}") {
		t.Errorf("the file says otherwise:\n%s", h.file())
	}
	if got := h.read(h.gw.Bootstrap, "resilient_topic", 0, 30); string(got[29].Value) != "after-9" {
		t.Errorf("the last record is %s", got[29].Value)
	}
}

func TestAdminErrorsSayWhatToDo(t *testing.T) {
	h := build(t, "orders")
	before := h.file()
	for _, c := range []struct {
		method, path, body string
		auth               []string
		code               int
		says               string
	}{
		{"GET", "/moves", "", []string{"none", "wrong"}, 401, "users"},
		{"GET", "/moves", "", []string{"", ""}, 401, "Basic"},
		{"PUT", "/topicMappings/" + tenant + "/orders", `{"clusterId": "mars"}`, nil, 400, "prod"},
		{"PUT", "/topicMappings/" + tenant + "/orders", `{clusterId`, nil, 400, "clusterId"},
		{"PUT", "/topicMappings/nobody/orders", `{"clusterId": "dr"}`, nil, 404, "virtual_clusters"},
		{"POST", "/topicMappings/" + tenant + "/orders", `{"clusterId": "dr", "isConcentrated": "true"}`, nil, 501, "concentrated"},
		{"POST", "/topicMappings/" + tenant + "/orders", `{"clusterId": "dr", "isCompacted": true}`, nil, 501, "topic"},
		{"POST", "/topicMappings/" + tenant + "/bad%5B", `{"clusterId": "dr"}`, nil, 409, "glob"},
		{"GET", "/topicMappings/nobody", "", nil, 404, "virtual_clusters"},
		{"DELETE", "/topicMappings/nobody/orders", "", nil, 404, "virtual_clusters"},
		{"POST", "/topics/" + tenant, `{}`, nil, 400, "name"},
		{"POST", "/failover/run", `{"to": "dr"}`, nil, 400, "topics"},
		{"POST", "/failover/run", `{"topics": ["orders"], "to": "mars"}`, nil, 400, "mars"},
		{"GET", "/nothing", "", nil, 404, "openapi.yaml"},
	} {
		code, body := h.call(c.method, c.path, c.body, c.auth...)
		var m struct{ Message string }
		if err := json.Unmarshal([]byte(body), &m); err != nil || code != c.code || !strings.Contains(m.Message, c.says) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, code, body, c.code, c.says)
		}
	}
	if h.file() != before {
		t.Errorf("an error changed the file:\n%s", h.file())
	}
	if code, _ := h.call("GET", "/livez", "", "", ""); code != 200 {
		t.Errorf("livez without auth: %d", code)
	}
	if code, body := h.call("GET", "/config", ""); code != 200 || strings.Contains(body, `"password": "none"`) || !strings.Contains(body, "revision") {
		t.Errorf("config %d: %s", code, body)
	}
	if code, body := h.call("POST", "/topics/"+tenant, `{"name": "fresh"}`); code != 200 {
		t.Errorf("a new topic: %d %s", code, body)
	}
	if code, body := h.call("POST", "/topics/"+tenant, `{"name": "fresh"}`); code != 200 {
		t.Errorf("a topic that exists: %d %s", code, body)
	}
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		if d, err := h.admin(c).ListTopics(h.ctx, "fresh"); err != nil || d["fresh"].Err != nil {
			t.Errorf("%s has no topic fresh: %v", c.Name(), d["fresh"].Err)
		}
	}
}

// TestAFileThatCantBeWrittenIsRefused and changes nothing.
func TestAFileThatCantBeWrittenIsRefused(t *testing.T) {
	h := build(t, "orders")
	if err := os.Rename(h.gw.File, h.gw.File+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.gw.File, 0o755); err != nil {
		t.Fatal(err)
	}
	code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`)
	if code != 409 || h.gw.Topic(tenant, "orders").Home != "prod" || len(h.gw.Moves()) != 0 {
		t.Errorf("%d %s, moves %v", code, body, h.gw.Moves())
	}
}

// TestEditsAtOnceAreAllMade: none is made of a file that another one has changed meanwhile.
func TestEditsAtOnceAreAllMade(t *testing.T) {
	h := build(t, "orders")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if code, body := h.call("POST", fmt.Sprintf("/topicMappings/%s/new-%d", tenant, i), `{"clusterId": "prod"}`); code >= 300 {
				t.Errorf("%d %s", code, body)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if !strings.Contains(h.file(), fmt.Sprintf("new-%d: {cluster: prod}", i)) {
			t.Errorf("new-%d is not in the file:\n%s", i, h.file())
		}
	}
}

// TestWhatSomebodyIsEditingStays: a file that is not in force, here because it is wrong, is not
// written over.
func TestWhatSomebodyIsEditingStays(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("orders:", "orders: ["); err != nil {
		t.Fatal(err)
	}
	edited := h.file()
	code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`)
	if code != 409 || !strings.Contains(body, "has changed") || h.file() != edited {
		t.Errorf("%d %s\n%s", code, body, h.file())
	}
}

// TestDeleteHasAGrace: at its end the file says `cluster: none`, clients are told that the topic
// does not exist, and a later mapping is a move from where the topic was.
func TestDeleteHasAGrace(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("delete_grace: 30s", "delete_grace: 1s"); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Admin.DeleteGrace == time.Second })
	p := h.client(h.gw.Bootstrap, kgo.UnknownTopicRetries(0), kgo.RecordRetries(1))
	h.produce(p, "orders", "before", 3)
	if code, body := h.call("DELETE", "/topicMappings/"+tenant+"/orders", ""); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	if _, body := h.call("GET", "/topicMappings/"+tenant, ""); !strings.Contains(body, "pendingDelete") {
		t.Errorf("the pending delete is not shown: %s", body)
	}
	h.produce(p, "orders", "grace", 3)
	h.wait("cluster: none", func() bool { return strings.Contains(h.file(), "orders: {cluster: none}") })
	next := int64(6)
	h.wait("the end of service", func() bool {
		fresh := h.client(h.gw.Bootstrap, kgo.UnknownTopicRetries(0))
		err := fresh.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr()
		if err == nil {
			next++ // the file has changed, and is not in force yet
		}
		return err != nil && strings.Contains(err.Error(), kerr.UnknownTopicOrPartition.Message)
	})
	d, err := kadm.NewClient(h.client(h.gw.Bootstrap)).ListTopics(h.ctx)
	if err != nil || d.Has("orders") {
		t.Errorf("the topic is listed: %v", d.Names())
	}
	h.copier(kafkatest.Faults{}, "orders")
	if code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`); code != 200 && code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	m := h.moved(1)
	if m.From != "prod" || m.To != "dr" {
		t.Errorf("moved from %s to %s", m.From, m.To)
	}
	after := h.produce(h.client(h.gw.Bootstrap), "orders", "after", 3)
	if after[0] != next {
		t.Errorf("offset %d, want %d", after[0], next)
	}
}

// TestAnEditCancelsAPendingDelete, and so does a restart.
func TestAnEditCancelsAPendingDelete(t *testing.T) {
	h := build(t, "orders", "other")
	for _, topic := range []string{"orders", "other"} {
		if code, body := h.call("DELETE", "/topicMappings/"+tenant+"/"+topic, ""); code != 202 {
			t.Fatalf("%d %s", code, body)
		}
	}
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	if _, body := h.call("GET", "/topicMappings/"+tenant, ""); strings.Count(body, "pendingDelete") != 1 {
		t.Errorf("mappings: %s", body)
	}
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	if _, body := h.call("GET", "/topicMappings/"+tenant, ""); strings.Contains(body, "pendingDelete") {
		t.Errorf("a restart forgets: %s", body)
	}
}

// TestABrokenFileChangesNothing and is named with its line.
func TestABrokenFileChangesNothing(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 3)
	good := h.file()
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {clutser: dr}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the error", func() bool {
		_, body := h.call("GET", "/config", "")
		return strings.Contains(body, "sluice.yaml:") && strings.Contains(body, "cluster")
	})
	h.produce(p, "orders", "still", 3)
	if err := os.WriteFile(h.gw.File, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	h.wait("the good file", func() bool { _, body := h.call("GET", "/readyz", ""); return !strings.Contains(body, "config_error") })
	if len(h.gw.Moves()) != 0 {
		t.Errorf("moves %+v", h.gw.Moves())
	}
}

// TestMovesAreRemembered over a restart, with their phases in order.
func TestMovesAreRemembered(t *testing.T) {
	h := build(t, "orders")
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 3)
	if code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	m := h.moved(1)
	want := []failover.Phase{failover.Pending, failover.Check, failover.Hold, failover.Prepare, failover.Commit, failover.Drain, failover.Publish, failover.Done}
	var got []failover.Phase
	for _, s := range m.Steps {
		got = append(got, s.Phase)
	}
	for _, p := range got {
		if len(want) > 0 && p == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 || got[len(got)-1] != failover.Done {
		t.Errorf("phases %v", got)
	}
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	_, body := h.call("GET", "/moves", "")
	for _, field := range []string{`"id"`, `"virtual_cluster"`, `"topic"`, `"from"`, `"to"`, `"planned"`, `"phases"`, `"possible_loss": []`, m.ID} {
		if !strings.Contains(body, field) {
			t.Errorf("moves have no %s: %s", field, body)
		}
	}
	if len(h.gw.Moves()) != 1 || h.gw.Topic(tenant, "orders").Home != "dr" {
		t.Errorf("after a restart: %+v", h.gw.Moves())
	}
}
