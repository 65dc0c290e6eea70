package gatewaytest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const (
	// selfFile names the file of the gateway that a test's program is to be.
	selfFile = "SLUICE_TEST_GATEWAY"
	// catalogSocket is where such a gateway shows its catalog, beside its file.
	catalogSocket = "catalog.sock"
)

// Main is TestMain of a package that uses StartSelf.
func Main(m *testing.M) {
	if file := os.Getenv(selfFile); file != "" {
		os.Exit(self(file))
	}
	os.Exit(m.Run())
}

// StartSelf starts the test's own program as a gateway, so that it has what the test was built
// with, can be killed, and shows its catalog. The package's TestMain is Main. What it logs goes to
// out. routing may hold more lines of the routing section; see Config.
func StartSelf(ctx context.Context, dir string, homes map[string]string, routing string, out io.Writer, clusters ...kafkatest.Cluster) (*Process, error) {
	file, port, err := fresh(dir, homes, routing, clusters)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{
		Dir: dir, File: file, Bootstrap: bootstrap(port), Admin: admin(port), out: out,
		args: []string{program}, env: []string{selfFile + "=" + file, "GORACE=halt_on_error=1"},
	}
	return p, p.Run(ctx)
}

// self runs a gateway until it is asked to end.
func self(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if os.Getenv("DEBUG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	g, err := Open(ctx, file, log)
	if err != nil {
		log.Error("no gateway", "error", err)
		return 1
	}
	socket := filepath.Join(filepath.Dir(file), catalogSocket)
	_ = os.Remove(socket) // of one that was killed
	l, err := net.Listen("unix", socket)
	if err != nil {
		log.Error("no catalog", "error", err)
		return 1
	}
	show := http.NewServeMux()
	show.HandleFunc("/topic", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(g.Topic(r.FormValue("vc"), r.FormValue("name")))
	})
	show.HandleFunc("/group", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(g.Group(r.FormValue("vc"), r.FormValue("name")))
	})
	go func() { _ = http.Serve(l, show) }()
	<-ctx.Done()
	if err := g.Stop(); err != nil {
		log.Error("did not end well", "error", err)
		return 1
	}
	return 0
}

// look asks for what the catalog has; out stays as it is if the gateway is not there.
func (p *Process) look(what, virtualCluster, name string, out any) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.Dir, catalogSocket))
	}
	t := &http.Transport{DialContext: dial}
	defer t.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "http://catalog/"+what, nil)
	if err != nil {
		return
	}
	q := req.URL.Query()
	q.Set("vc", virtualCluster)
	q.Set("name", name)
	req.URL.RawQuery = q.Encode()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	_ = json.NewDecoder(resp.Body).Decode(out)
}

// Topic is what a gateway of StartSelf knows of a topic, or nil.
func (p *Process) Topic(virtualCluster, name string) (t *catalog.Topic) {
	p.look("topic", virtualCluster, name, &t)
	return t
}

// Group is what a gateway of StartSelf knows of a group, or nil.
func (p *Process) Group(virtualCluster, name string) (g *catalog.Group) {
	p.look("group", virtualCluster, name, &g)
	return g
}
