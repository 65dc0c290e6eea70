package protocol

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/leak"
)

// physical collects what must not be seen of clusters.
func (h *house) physical(topics ...string) leak.Physical {
	h.t.Helper()
	var p leak.Physical
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		p.Texts = append(p.Texts, "fake-"+c.Name())
		for _, b := range c.Bootstrap() {
			_, port, _ := strings.Cut(b, ":")
			n, err := strconv.Atoi(port)
			if err != nil {
				h.t.Fatal(err)
			}
			p.Ports = append(p.Ports, int32(n))
			p.Texts = append(p.Texts, b)
		}
		d, err := h.admin(c).ListTopics(h.ctx, topics...)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, t := range d {
			p.TopicIDs = append(p.TopicIDs, [16]byte(t.ID))
		}
	}
	return p
}

// TestNothingPhysicalLeaks asks every API in every version before and after a move, with a prefix.
func TestNothingPhysicalLeaks(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("topics: {hide", "topics: {prefix: \"\", hide"); err != nil {
		t.Fatal(err)
	}
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 5)
	h.commit("orders", "g", 3)
	scan := func(when string) {
		t.Helper()
		topic := h.gw.Topic(tenant, "orders")
		r, err := leak.Scan(h.ctx, leak.Target{Bootstrap: h.gw.Bootstrap, Topic: "orders", TopicID: topic.ID, Group: "g", VirtualNode: 1 << 20}, h.physical("orders"))
		if err == nil {
			err = r.Err(150)
		}
		if err != nil {
			t.Errorf("%s: %v", when, err)
		}
		t.Logf("%s: %d answers of %d APIs; without an answer: %q; slow: %q", when, r.Asked, len(r.APIs), r.Errors, r.Slow)
	}
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	scan("after a move")
}

// identity is what clients remember of a virtual cluster.
type identity struct {
	cluster    string
	controller int32
	nodes      string
	topic      [16]byte
	epoch      int32
	end        int64
}

func (h *house) identity(topic string) identity {
	h.t.Helper()
	c := kadm.NewClient(h.client(h.gw.Bootstrap))
	m, err := c.Metadata(h.ctx, topic)
	if err != nil {
		h.t.Fatal(err)
	}
	ends, err := c.ListEndOffsets(h.ctx, topic)
	if err != nil {
		h.t.Fatal(err)
	}
	o, _ := ends.Lookup(topic, 0)
	id := identity{cluster: m.Cluster, controller: m.Controller, topic: [16]byte(m.Topics[topic].ID), epoch: m.Topics[topic].Partitions[0].LeaderEpoch, end: o.Offset}
	for _, b := range m.Brokers {
		id.nodes += strconv.Itoa(int(b.NodeID)) + "@" + b.Host + ":" + strconv.Itoa(int(b.Port)) + " "
	}
	return id
}

// TestARestartChangesNothingThatClientsSee, before and after a move, and with a dead cluster.
func TestARestartChangesNothingThatClientsSee(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "a", 10)
	first := h.identity("orders")
	restart := func() {
		t.Helper()
		if err := h.gw.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := h.gw.Restart(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	if got := h.identity("orders"); got != first {
		t.Errorf("after a restart %+v, before %+v", got, first)
	}
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	moved := h.identity("orders")
	about := fact.Of(t, "a move made %+v of %+v", moved, first)
	fact.Equal(about, "moved.cluster", moved.cluster, first.cluster)
	fact.Equal(about, "moved.topic", moved.topic, first.topic)
	fact.Equal(about, "moved.nodes", moved.nodes, first.nodes)
	fact.Equal(about, "moved.end", moved.end, first.end)
	fact.Above(about, "moved.epoch", moved.epoch, first.epoch)
	restart()
	if got := h.identity("orders"); got != moved {
		t.Errorf("after a move and a restart %+v, before %+v", got, moved)
	}
	h.produce(p, "orders", "b", 3) // the producer goes on with its id and sequences

	// prod, which is no home any more, is dead at the next start.
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	restart()
	moved.end += 3
	{
		got := h.identity("orders")
		about := fact.Of(t, "with a dead cluster %+v, before %+v", got, moved)
		fact.Equal(about, "got.nodes", got.nodes, moved.nodes)
		fact.Equal(about, "got.topic", got.topic, moved.topic)
		fact.Equal(about, "got.end", got.end, moved.end)
		fact.Equal(about, "got.epoch", got.epoch, moved.epoch)
	}
	if code, body := h.call("GET", "/readyz", ""); code != 200 || !strings.Contains(body, `"reachable": false`) {
		t.Errorf("readyz %d %s", code, body)
	}
	h.produce(p, "orders", "c", 3)
}

// TestASecondGatewayOnTheSameStoreIsRefused with a message that says so.
func TestASecondGatewayOnTheSameStoreIsRefused(t *testing.T) {
	h := build(t, "orders")
	g, err := gateway.Start(t.Context(), gateway.Options{Path: h.gw.File, Specs: plugins.Builtin(), Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "sluice.yaml:2:14: state.dir: the store is in use by another gateway") {
		t.Errorf("%v", err)
	}
	if g != nil {
		_ = g.Close()
	}
}

// TestADeadClusterCostsOnlyItsTopics: topics of the other go on, listings too, and what is held
// goes on when the cluster is back.
func TestADeadClusterCostsOnlyItsTopics(t *testing.T) {
	h := build(t, "orders", "other")
	if err := h.gw.Edit("other: {cluster: prod}", "other: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.copier(kafkatest.Faults{}, "other")
	h.moved(1)
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 3)
	h.produce(p, "other", "x", 3)
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.produce(p, "other", "y", 20)
	held := make(chan error, 1)
	p.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("held")}, func(_ *kgo.Record, err error) { held <- err })
	d, err := kadm.NewClient(h.client(h.gw.Bootstrap)).ListTopics(h.ctx)
	if err != nil || !d.Has("orders") || !d.Has("other") {
		t.Errorf("topics %v %v", d.Names(), err)
	}
	h.produce(p, "other", "z", 20)
	select {
	case err := <-held:
		t.Fatalf("a produce to a dead home was answered with %v", err)
	default:
	}
	for _, n := range h.prod.Nodes() {
		if err := h.prod.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-held; err != nil {
		t.Errorf("the held produce: %v", err)
	}
}

// TestNamesPerCluster: a topic with another name on dr moves there and clients see one name.
func TestNamesPerCluster(t *testing.T) {
	h := build(t, "orders")
	if _, err := h.admin(h.dr).CreateTopic(h.ctx, 3, -1, nil, "prod.orders"); err != nil {
		t.Fatal(err)
	}
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 5)
	// What a replicator with a naming policy would have copied.
	direct := h.client(h.dr.Bootstrap()[0])
	for _, r := range h.read(h.prod.Bootstrap()[0], "orders", 0, 5) {
		if err := direct.ProduceSync(h.ctx, &kgo.Record{Topic: "prod.orders", Value: r.Value, Timestamp: r.Timestamp}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr", "topicName": "prod.orders"}`); code != 200 {
		t.Fatalf("%d %s\n%s", code, body, h.file())
	}
	if got := h.produce(p, "orders", "after", 3); got[0] != 5 {
		t.Errorf("offset %d follows 4", got[0])
	}
	ends, err := kafkatest.Ends(h.ctx, h.dr.Bootstrap(), "prod.orders")
	if err != nil || ends["prod.orders"][0] != 8 {
		t.Errorf("prod.orders ends at %v %v", ends, err)
	}
}

// TestPrefixesShareClusters: two virtual clusters with prefixes see neither each other's topics nor
// groups.
func TestPrefixesShareClusters(t *testing.T) {
	h := build(t)
	port, err := kafkatest.FreePorts(24)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("clusters:\n  prod: {bootstrap: [" + h.prod.Bootstrap()[0] + "], nodes: 0-9}\nvirtual_clusters:\n")
	var addr [2]string
	for i, vc := range []string{"red", "blue"} {
		at := port + i*12
		addr[i] = "127.0.0.1:" + strconv.Itoa(at)
		b.WriteString("  " + vc + ":\n    listen: {bootstrap: \"" + addr[i] + "\", brokers: {ports: " + strconv.Itoa(at+1) + "-" + strconv.Itoa(at+10) + "}}\n    chain:\n      - routing: {default: prod}\n      - topics: {prefix: " + vc + ".}\n      - offsets: {}\n")
	}
	if err := os.WriteFile(dir+"/sluice.yaml", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := gatewaytest.Open(h.ctx, dir+"/sluice.yaml", quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	red, blue := kadm.NewClient(h.client(addr[0])), kadm.NewClient(h.client(addr[1]))
	for vc, c := range map[string]*kadm.Client{"red": red, "blue": blue} {
		if r, err := c.CreateTopic(h.ctx, 2, 1, nil, "orders"); err != nil || r.Err != nil {
			t.Fatalf("%s: %v %v", vc, err, r.Err)
		}
		if _, err := c.CommitOffsets(h.ctx, "g-"+vc, offsets("orders", 1)); err != nil {
			t.Fatal(err)
		}
	}
	h.produce(h.client(addr[0]), "orders", "red", 3)
	for vc, c := range map[string]*kadm.Client{"red": red, "blue": blue} {
		d, err := c.ListTopics(h.ctx)
		if err != nil || len(d) != 1 || !d.Has("orders") {
			t.Errorf("%s sees topics %v %v", vc, d.Names(), err)
		}
		groups, err := c.ListGroups(h.ctx)
		if err != nil || len(groups) != 1 || groups.Groups()[0] != "g-"+vc {
			t.Errorf("%s sees groups %v %v", vc, groups.Groups(), err)
		}
		ends, err := c.ListEndOffsets(h.ctx, "orders")
		if o, _ := ends.Lookup("orders", 0); err != nil || (o.Offset == 3) != (vc == "red") {
			t.Errorf("%s ends at %d %v", vc, o.Offset, err)
		}
	}
	r, err := leak.Scan(h.ctx, leak.Target{Bootstrap: addr[0], Topic: "orders", TopicID: g.Topic("red", "orders").ID, Group: "g-red", VirtualNode: 1 << 20},
		leak.Physical{Texts: []string{"red.", "blue", "fake-prod", h.prod.Bootstrap()[0]}})
	if err == nil {
		err = r.Err(150)
	}
	if err != nil {
		t.Error(err)
	}
}
