package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// start builds the gateway and runs it in front of a cluster that is not there. It returns the
// addresses of the admin listener and of the virtual cluster.
func start(t *testing.T) (admin, bootstrap string) {
	t.Helper()
	var listeners []net.Listener
	var ports []any
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := fmt.Sprintf(`admin: {listen: "127.0.0.1:%d"}
clusters: {prod: {bootstrap: ["127.0.0.1:1"], nodes: 0-0}}
virtual_clusters: {vc: {listen: {bootstrap: "127.0.0.1:%d", brokers: {ports: %[3]d-%[3]d}}, chain: [routing: {default: prod}]}}
`, ports...)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "gateway")
	build := exec.Command("go", "build", "-o", bin, "./cmd/gateway")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "run", "-c", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
}

// ask sends ApiVersions, which the gateway answers by itself.
func ask(t *testing.T, addr string) {
	t.Helper()
	var c net.Conn
	var err error
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if c, err = net.Dial("tcp", addr); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
}

// scrape reads the metrics as Prometheus does: the samples and the native histograms by their
// series.
func scrape(t *testing.T, admin, accept string) (map[string]float64, map[string]*histogram.Histogram) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := textparse.New(body, resp.Header.Get("Content-Type"), "", true, false, false, labels.NewSymbolTable())
	if err != nil || p == nil {
		t.Fatal(err)
	}
	samples, histograms := map[string]float64{}, map[string]*histogram.Histogram{}
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return samples, histograms
		case err != nil:
			t.Fatal(err)
		case entry == textparse.EntrySeries:
			var l labels.Labels
			p.Labels(&l)
			_, _, v := p.Series()
			samples[l.String()] = v
		case entry == textparse.EntryHistogram:
			var l labels.Labels
			p.Labels(&l)
			_, _, h, _ := p.Histogram()
			if err := h.Validate(); err != nil {
				t.Errorf("%s: %v", l, err)
			}
			histograms[l.String()] = h
		}
	}
}

// TestPrometheusReadsBothKindsOfHistograms from one endpoint: classic ones in its text formats, and
// native ones with the same counts beside them in protobuf.
func TestPrometheusReadsBothKindsOfHistograms(t *testing.T) {
	admin, bootstrap := start(t)
	for range 3 {
		ask(t, bootstrap)
	}
	const name = `{__name__="sluice_request_duration_seconds", api="ApiVersions", virtual_cluster="vc"}`
	classic := func(samples map[string]float64, le string) float64 {
		v, ok := samples[`{__name__="sluice_request_duration_seconds_bucket", api="ApiVersions", le="`+le+`", virtual_cluster="vc"}`]
		if !ok {
			t.Errorf("no bucket %s", le)
		}
		return v
	}
	known := series(t)
	for _, accept := range []string{"text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		samples, native := scrape(t, admin, accept)
		if classic(samples, "+Inf") != 3 || classic(samples, "64.0") != 3 {
			t.Errorf("%s: %v", accept, samples)
		}
		for l := range samples {
			n, _, _ := strings.Cut(strings.TrimPrefix(l, `{__name__="`), `"`)
			if strings.HasPrefix(n, "sluice_") && known[n] == nil {
				t.Errorf("%s is not in METRICS.md", n)
			}
		}
		if !strings.Contains(accept, "protobuf") {
			if len(native) > 0 {
				t.Errorf("%s has native histograms", accept)
			}
			continue
		}
		h := native[name]
		switch {
		case h == nil:
			t.Fatalf("no native histogram %s in %v", name, native)
		case h.Schema != 2:
			t.Fatalf("schema %d, want 2: %v", h.Schema, h)
		case h.Count != 3:
			t.Fatalf("count %v, want 3: %v", h.Count, h)
		case h.Sum <= 0:
			t.Fatalf("sum %v, want more than 0: %v", h.Sum, h)
		}
		var upTo uint64
		for it := h.CumulativeBucketIterator(); it.Next(); {
			if b := it.At(); b.Upper <= 1.0/1024 {
				upTo = b.Count
			}
		}
		if got := classic(samples, "0.0009765625"); got != float64(upTo) {
			t.Errorf("%v up to a millisecond in classic buckets, %d in native ones", got, upTo)
		}
		if empty := native[`{__name__="sluice_upstream_duration_seconds", cluster="prod"}`]; empty == nil || empty.Count != 0 {
			t.Errorf("nothing counted: %v", empty)
		}
	}
}
