package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// faster is by how much time goes faster than in the rules.
const faster = 60

var (
	spans  = regexp.MustCompile(`\b(\d+)(m|h)\b`)
	ages   = regexp.MustCompile(`(_age_seconds\)?) > (\d+)`)
	minute = map[string]time.Duration{"m": time.Minute, "h": time.Hour}
)

// shortened are the rules with all their times divided.
func shortened(t *testing.T) *ruleFile {
	t.Helper()
	f := readRules(t)
	short := func(text string) string {
		return spans.ReplaceAllStringFunc(text, func(s string) string {
			m := spans.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[1])
			return fmt.Sprintf("%dms", (time.Duration(n) * minute[m[2]] / faster).Milliseconds())
		})
	}
	for _, r := range f.all() {
		if r.For = short(r.For); r.For == "0ms" {
			r.For = "0s"
		}
		r.Expr = ages.ReplaceAllStringFunc(short(r.Expr), func(s string) string {
			m := ages.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2])
			return fmt.Sprintf("%s > %g", m[1], float64(n)/faster)
		})
	}
	return f
}

// prometheus is a running server.
type prometheus struct {
	url string
}

// alert is one that the server knows.
type alert struct {
	Labels, Annotations map[string]string
	State               string
}

// start runs Prometheus with the rules, shortened, on what a gateway shows at an address.
func start(t *testing.T, admin string, features ...string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	port, err := kafkatest.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rules.yaml"), shortened(t))
	write(t, filepath.Join(dir, "prometheus.yaml"), map[string]any{
		"global":     map[string]any{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
		"rule_files": []string{"rules.yaml"},
		"scrape_configs": []any{map[string]any{
			"job_name": "sluice", "basic_auth": map[string]string{"username": "none", "password": "none"},
			"static_configs": []any{map[string]any{"targets": []string{strings.TrimPrefix(admin, "http://")}}},
		}},
	})
	p := &prometheus{fmt.Sprintf("http://127.0.0.1:%d", port)}
	args := []string{"--config.file=" + filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--log.level=warn", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port)}
	for _, f := range features {
		args = append(args, "--enable-feature="+f)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, kafkatest.EndsWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if b, err := os.ReadFile(log.Name()); err == nil && len(b) > 0 {
			t.Logf("prometheus says: %s", b)
		}
	})
	if !eventually.True(func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}) {
		t.Fatal("prometheus does not get ready")
	}
	return p
}

// ask asks the server's API.
func (p *prometheus) ask(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	out := struct{ Data any }{data}
	return json.NewDecoder(resp.Body).Decode(&out)
}

// series is how many a query finds.
func (p *prometheus) series(t *testing.T, query string) int {
	t.Helper()
	var found struct{ Result []any }
	if err := p.ask(t.Context(), "/api/v1/query?query="+url.QueryEscape(query), &found); err != nil {
		t.Fatal(err)
	}
	return len(found.Result)
}

// firing are the alerts that fire, by name.
func (p *prometheus) firing(ctx context.Context) (map[string]alert, error) {
	var all struct{ Alerts []alert }
	if err := p.ask(ctx, "/api/v1/alerts", &all); err != nil {
		return nil, err
	}
	out := map[string]alert{}
	for _, a := range all.Alerts {
		if a.State == "firing" {
			out[a.Labels["alertname"]] = a
		}
	}
	return out, nil
}
