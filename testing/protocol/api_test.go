package protocol

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const schemathesis = "schemathesis==4.32.5"

// reader is a second user, who may only look.
func (h *house) reader() {
	h.t.Helper()
	if err := h.gw.Edit("users: [{name: none, password: none}]", "users: [{name: none, password: none}, {name: eve, password: eve, role: reader}]"); err != nil {
		h.t.Fatal(err)
	}
	h.wait("the reader", func() bool { return len(h.gw.Snapshot().Admin.Users) == 2 })
}

// v1 asks version 1 of the API and decodes the answer.
func (h *house) v1(method, path, body string, out any, header ...string) (status int, head http.Header) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx, method, h.gw.Admin+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetBasicAuth("none", "none")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			h.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, b, err)
		}
	}
	return resp.StatusCode, resp.Header
}

// TestTheDescriptionIsTrue: schemathesis asks everything that the document describes, right and
// wrong, of a gateway with topics, groups, clients and a move, and checks every answer against it.
func TestTheDescriptionIsTrue(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		kafkatest.Require(t, "python3")
	}
	h := build(t, "orders", "other")
	h.copier(kafkatest.Faults{}, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 5)
	h.commit("orders", "readers", 3)
	if code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	h.moved(1)
	cache, err := kafkatest.Cache()
	if err != nil {
		t.Fatal(err)
	}
	venv := filepath.Join(cache, "venv-"+schemathesis)
	if _, err := os.Stat(filepath.Join(venv, "complete")); err != nil {
		for _, c := range [][]string{{"python3", "-m", "venv", venv}, {filepath.Join(venv, "bin", "pip"), "install", "--quiet", schemathesis}} {
			if out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", c, err, out)
			}
		}
		if err := os.WriteFile(filepath.Join(venv, "complete"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := filepath.Abs("testdata/schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(h.ctx, filepath.Join(venv, "bin", "schemathesis"), "--config-file", settings, "run", h.gw.Admin+"/api/v1/openapi.yaml",
		"--auth", "none:none", "--checks", "all", "--max-examples", "25", "--seed", "1", "--no-color",
		"--exclude-path", "/captures/{vc}", // waits for as long as it is told to; see TestCapture
		"--exclude-checks", "positive_data_acceptance", // what is well-formed may still name a topic that is not there
	)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTwoPeopleDontOverwriteEachOther: an edit is for the revision that was looked at.
func TestTwoPeopleDontOverwriteEachOther(t *testing.T) {
	h := build(t, "orders", "other")
	_, head := h.v1("GET", "/config", "", nil)
	seen := head.Get("ETag")
	var p struct{ Detail string }
	if code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, &p); code != 428 || !strings.Contains(p.Detail, "If-Match") {
		t.Errorf("without If-Match: %d %s", code, p.Detail)
	}
	h.reader() // somebody else edits
	before := h.file()
	if code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, &p, "If-Match", seen); code != 412 || h.file() != before {
		t.Errorf("an edit of an old revision: %d %s\n%s", code, p.Detail, h.file())
	}
	var c admin.Config
	_, head = h.v1("GET", "/config", "", &c)
	about := fact.Of(t, "%s %+v", head.Get("ETag"), c.Changes)
	fact.Other(about, `head.Get("ETag")`, head.Get("ETag"), seen)
	if fact.Equal(about, "len(c.Changes)", len(c.Changes), 1) {
		fact.Equal(about, "c.Changes[0].Path", c.Changes[0].Path, "admin.users.1")
		fact.HasNo(about, string(must(json.Marshal(c))), `"eve","password":"eve"`)
	}
	if code, _ := h.v1("GET", "/config", "", nil, "If-None-Match", head.Get("ETag")); code != 304 {
		t.Errorf("not modified: %d", code)
	}
	if code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, nil, "If-Match", head.Get("ETag")); code != 202 {
		t.Errorf("an edit of what is in force: %d", code)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestReadersOnlyLook: through either API.
func TestReadersOnlyLook(t *testing.T) {
	h := build(t, "orders")
	h.reader()
	before := h.file()
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/api/v1/status", "", 200},
		{"GET", "/moves", "", 200},
		{"POST", "/failover/plan", `{"topics": ["orders"], "to": "dr"}`, 200},
		{"POST", "/failover/run", `{"topics": ["orders"], "to": "dr"}`, 403},
		{"PUT", "/topicMappings/" + tenant + "/orders", `{"clusterId": "dr"}`, 403},
		{"DELETE", "/topicMappings/" + tenant + "/orders", "", 403},
		{"POST", "/topics/" + tenant, `{"name": "new"}`, 403},
		{"POST", "/api/v1/moves", `{}`, 403},
		{"DELETE", "/api/v1/moves/x", "", 403},
	} {
		if code, body := h.call(c.method, c.path, c.body, "eve", "eve"); code != c.code || code == 403 && !strings.Contains(body, "role") {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, body)
		}
	}
	if code, _ := h.call("GET", "/api/v1/status", "", "eve", "none"); code != 401 {
		t.Errorf("with another's password: %d", code)
	}
	if h.file() != before {
		t.Errorf("a reader has edited the file:\n%s", h.file())
	}
}

// TestAMoveIsAborted by taking its edit back, until it is committed.
func TestAMoveIsAborted(t *testing.T) {
	h := build(t, "orders", "other")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 3) // nobody copies them
	before := h.file()
	if code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, nil, "If-Match", "*"); code != 202 {
		t.Fatal(code)
	}
	var open []failover.Report
	h.wait("the refusal", func() bool {
		h.v1("GET", "/moves?state=open", "", &open)
		return len(open) == 1 && open[0].Error != ""
	})
	var ended failover.Report
	if code, _ := h.v1("DELETE", "/moves/"+open[0].ID, "", &ended, "If-Match", "*"); code != 200 || ended.Phase != failover.Dropped {
		t.Errorf("%d %+v", code, ended)
	}
	if h.file() != before || h.gw.Topic(tenant, "orders").Home != "prod" {
		t.Errorf("the edit is not taken back:\n%s", h.file())
	}
	if code, _ := h.v1("DELETE", "/moves/"+open[0].ID, "", nil, "If-Match", "*"); code != 409 {
		t.Errorf("a move that has ended: %d", code)
	}
	if code, _ := h.v1("DELETE", "/moves/none", "", nil, "If-Match", "*"); code != 404 {
		t.Errorf("no move: %d", code)
	}
}

// TestWhatOperatorsSee of topics, copies, groups, clients and traffic.
func TestWhatOperatorsSee(t *testing.T) {
	h := build(t, "orders")
	copier := h.copier(kafkatest.Faults{}, "orders")
	p := h.client(h.gw.Bootstrap, kgo.ClientID("shop"), kgo.SoftwareNameAndVersion("till", "1.2.3"))
	h.produce(p, "orders", "x", 10)
	h.commit("orders", "readers", 4)
	if err := copier.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	var topic admin.Topic
	h.wait("a comparison", func() bool {
		h.v1("GET", "/topics/"+tenant+"/orders", "", &topic)
		return len(topic.Copies) == 1 && topic.Copies[0].Partitions[0].ComparedTo == 10 && topic.Copies[0].Lag >= 0 // stored, too
	})
	{
		c := topic.Copies[0]
		about := fact.Of(t, "%+v", topic)
		fact.Equal(about, "topic.Home", topic.Home, "prod")
		fact.Equal(about, "topic.Partitions[0].End", topic.Partitions[0].End, 10)
		fact.Equal(about, "c.Cluster", c.Cluster, "dr")
		fact.Equal(about, "c.Lag", c.Lag, 0)
		fact.Equal(about, "c.Partitions[0].ComparedFrom", c.Partitions[0].ComparedFrom, 0)
		fact.Equal(about, "c.Partitions[0].End", c.Partitions[0].End, 10)
	}
	copier.Stop()
	h.produce(p, "orders", "y", 5)
	h.commit("orders", "late", 12)
	h.v1("GET", "/topics/"+tenant+"/orders", "", &topic)
	if topic.Copies[0].Lag != 5 || topic.Partitions[0].End != 15 {
		t.Errorf("lag %d of %d", topic.Copies[0].Lag, topic.Partitions[0].End)
	}
	h.listsTheSame()
	var groups admin.Groups
	h.v1("GET", "/groups/"+tenant, "", &groups)
	held := map[string]admin.Held{}
	for _, g := range groups.Groups {
		if len(g.Positions) == 1 {
			held[g.Name] = g.Positions[0].Held["dr"]
		}
	}
	if held["readers"] != admin.HeldYes || held["late"] != admin.HeldNo || groups.Problem != "" {
		t.Errorf("%+v", groups)
	}
	var clients []admin.Client
	h.v1("GET", "/clients", "", &clients)
	var requests int64
	for _, c := range clients {
		if c.ClientID == "shop" && c.Software == "till" && c.SoftwareVersion == "1.2.3" && c.VirtualCluster == tenant && c.BytesIn > 0 && c.BytesOut > 0 {
			requests += c.Requests
		}
	}
	if requests < 15 {
		t.Errorf("%d requests of %+v", requests, clients)
	}
	var traffic []admin.Traffic
	h.v1("GET", "/traffic", "", &traffic)
	for _, a := range traffic[0].APIs {
		var n int64
		for _, b := range a.Latency {
			n += b.Count
		}
		if n != a.Requests && a.API == "Produce" || a.API == "Produce" && a.Requests != 15 {
			t.Errorf("%+v", a)
		}
	}
}

// listsTheSame compares the list of topics without their partitions with the one that has them.
func (h *house) listsTheSame() {
	h.t.Helper()
	var full, short []admin.Topic
	h.v1("GET", "/topics/"+tenant, "", &full)
	h.v1("GET", "/topics/"+tenant+"?partitions=false", "", &short)
	for i := range full {
		var records int64
		for _, p := range full[i].Partitions {
			records += p.End
		}
		about := fact.Of(h.t, "%+v", full[i])
		fact.Equal(about, "Records", full[i].Records, records)
		fact.Equal(about, "PartitionCount", full[i].PartitionCount, len(full[i].Partitions))
		full[i].Partitions = nil
		for j := range full[i].Copies {
			full[i].Copies[j].Partitions, full[i].Copies[j].Compared = nil, time.Time{}
		}
	}
	for i := range short {
		for j := range short[i].Copies {
			short[i].Copies[j].Compared = time.Time{} // goes on
		}
	}
	if !reflect.DeepEqual(short, full) {
		h.t.Errorf("without partitions the topics are\n%+v, with them\n%+v", short, full)
	}
}

// TestAPlanOfManyTopics has them all, each with its own answer, blocked ones first.
func TestAPlanOfManyTopics(t *testing.T) {
	var topics []string
	for i := range 40 {
		topics = append(topics, fmt.Sprintf("topic-%02d", i))
	}
	h := build(t, topics...)
	if _, err := kadm.NewClient(h.client(h.gw.Bootstrap)).ListTopics(h.ctx); err != nil {
		t.Fatal(err)
	}
	p := h.client(h.gw.Bootstrap)
	for _, i := range []int{7, 39} {
		h.produce(p, topics[i], "x", i)
	}
	var plans plan.Plans
	if code, _ := h.v1("POST", "/moves/plan", `{"from": "prod", "to": "dr"}`, &plans); code != 200 || len(plans.Topics) != len(topics) {
		t.Fatalf("%d, %d plans", code, len(plans.Topics))
	}
	if want := "38 ready, 2 blocked, 0 unplanned, 0 records would be lost"; plans.Summary != want {
		t.Errorf("%q, want %q", plans.Summary, want)
	}
	order := append([]string{topics[7], topics[39]}, slices.DeleteFunc(slices.Clone(topics), func(n string) bool { return n == topics[7] || n == topics[39] })...)
	for i, p := range plans.Topics {
		records := int64(0)
		for _, x := range p.Partitions {
			records += x.FromEnd
		}
		want := map[int]int64{0: 7, 1: 39}[i]
		if p.Topic != order[i] || records != want || (p.Blocked != "") != (want > 0) {
			t.Errorf("plan %d of %s: %d records, blocked %q", i, p.Topic, records, p.Blocked)
		}
	}
}

// TestTheDocumentedCall of version 1 works as it is written; only the port is the test's.
func TestTheDocumentedCall(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		kafkatest.Require(t, "curl")
	}
	h := build(t, "resilient_topic")
	h.copier(kafkatest.Faults{}, "resilient_topic")
	h.produce(h.client(h.gw.Bootstrap), "resilient_topic", "x", 3)
	_, call, ok := strings.Cut(string(must(os.ReadFile("../../core/admin/README.md"))), "```sh\ncurl -u")
	call, _, _ = strings.Cut(call, "```")
	if !ok {
		t.Fatal("core/admin/README.md has no call with curl")
	}
	out, err := exec.CommandContext(h.ctx, "sh", "-ec", "curl --fail-with-body -s -u"+strings.ReplaceAll(call, "http://127.0.0.1:8888", h.gw.Admin)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if m := h.moved(1); m.To != "dr" {
		t.Errorf("%+v", m)
	}
}
