package protocol

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// layer is a gateway over one cluster, with nothing in its chain.
type layer struct {
	t     *testing.T
	port  int
	admin string
}

func (l *layer) address() string { return fmt.Sprintf("127.0.0.1:%d", l.port) }

// ports reserves those of a layer.
func ports(t *testing.T) *layer {
	t.Helper()
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	return &layer{t, port, fmt.Sprintf("http://127.0.0.1:%d", port+1)}
}

// start starts it over a bootstrap address; bind is the address that it listens on.
func (l *layer) start(bind, bootstrap string) {
	l.t.Helper()
	dir := l.t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := fmt.Sprintf(`admin: {listen: 127.0.0.1:%d}
state: {dir: ./state}
clusters:
  below: {bootstrap: [%s], nodes: 0-9}
virtual_clusters:
  vc:
    listen: {bootstrap: %s:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}
    chain: []
`, l.port+1, bootstrap, bind, l.port, l.port+2, l.port+11)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	g, err := gatewaytest.Open(l.t.Context(), file, quiet())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = g.Stop() })
}

func (l *layer) get(path string) string {
	l.t.Helper()
	resp, err := http.Get(l.admin + path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

var sessionsOf = regexp.MustCompile(`(?m)^sluice_sessions\{.*\} (\S+)$`)

// sessions is the number of connections that the layer has accepted and not closed.
func (l *layer) sessions() int {
	l.t.Helper()
	m := sessionsOf.FindStringSubmatch(l.get("/metrics"))
	if m == nil {
		l.t.Fatal("no metric of sessions")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return int(n)
}

// refuses waits until the layer says that its cluster leads back, while clients ask it.
func (l *layer) refuses() {
	l.t.Helper()
	if !eventually.True(func() bool {
		l.ask()
		return strings.Contains(l.get("/readyz"), `"refused"`)
	}) {
		l.t.Fatalf("not refused: %s", l.get("/readyz"))
	}
	for range 20 {
		l.ask()
	}
	if !eventually.True(func() bool { return l.sessions() <= 40 }) { // the last ones end soon
		l.t.Errorf("%d sessions", l.sessions())
	}
}

// ask has a client ask for metadata, and leave without waiting long.
func (l *layer) ask() {
	c, err := net.Dial("tcp", l.address())
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte{0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0})
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = c.Read(make([]byte, 1))
}

// TestALoopIsRefused: a gateway that would ask itself says so, and does not.
func TestALoopIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ bind, bootstrap string }{
		"its own address":  {"127.0.0.1", "127.0.0.1"},
		"its own name":     {"127.0.0.1", "localhost"},
		"on all addresses": {"0.0.0.0", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := ports(t)
			l.start(c.bind, fmt.Sprintf("%s:%d", c.bootstrap, l.port))
			l.refuses()
		})
	}
}

// TestALoopThroughAnotherGatewayIsRefused by both, whoever finds it out.
func TestALoopThroughAnotherGatewayIsRefused(t *testing.T) {
	a, b := ports(t), ports(t)
	a.start("127.0.0.1", b.address())
	b.start("127.0.0.1", a.address())
	a.refuses()
	b.refuses()
}

// TestGatewaysCanBeStacked: one over another over Kafka is no loop.
func TestGatewaysCanBeStacked(t *testing.T) {
	a, b := ports(t), ports(t)
	c := fake(t, "prod", map[string]int32{"orders": 3})
	b.start("127.0.0.1", c.Bootstrap()[0])
	a.start("127.0.0.1", b.address())
	ctx := eventually.Context(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(a.address()), kgo.ConsumeTopics("orders"), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 20 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for got := 0; got < 20 && ctx.Err() == nil; {
		got += len(cl.PollFetches(ctx).Records())
	}
	if err := ctx.Err(); err != nil {
		t.Error(err)
	}
	for _, l := range []*layer{a, b} {
		if ready := l.get("/readyz"); strings.Contains(ready, `"refused"`) {
			t.Error(ready)
		}
	}
}
