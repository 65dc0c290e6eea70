package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// reloading is a gateway over a cluster that does not answer, whose file is written from a
// template: $1, $2 and so on are free ports, $taken is one that somebody else has.
type reloading struct {
	*Gateway
	t       *testing.T
	ports   int
	taken   net.Listener
	path    string
	specs   []plugin.Spec
	follows files
	log     slog.Handler
}

const one = `
admin: {listen: 127.0.0.1:$9}
clusters: {prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}}
virtual_clusters:
  a: {listen: {bootstrap: 127.0.0.1:$1, brokers: {host: 127.0.0.1, ports: $2-$2}}, chain: []}
`

func startReloading(t *testing.T, source string, specs ...plugin.Spec) *reloading {
	t.Helper()
	r := writeReloading(t, source)
	r.start(specs...)
	return r
}

func writeReloading(t *testing.T, source string) *reloading {
	t.Helper()
	r := &reloading{t: t, path: filepath.Join(t.TempDir(), "sluice.yaml")}
	var err error
	if r.ports, err = kafkatest.FreePorts(10); err != nil {
		t.Fatal(err)
	}
	if r.taken, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.taken.Close() })
	if err := os.WriteFile(r.path, r.file(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reloading) start(specs ...plugin.Spec) {
	r.t.Helper()
	r.specs = specs
	r.open()
	r.t.Cleanup(func() {
		if err := r.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *reloading) logHandler() slog.Handler {
	if r.log == nil {
		return slog.DiscardHandler
	}
	return r.log
}

// open starts the gateway, or starts it again.
func (r *reloading) open() {
	r.t.Helper()
	var err error
	if r.Gateway, err = Start(r.t.Context(), Options{Path: r.path, Specs: r.specs, Exporters: otlp.Exporters{}, Log: slog.New(r.logHandler())}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) port(n int) int { return r.ports + n - 1 }

func (r *reloading) file(source string) []byte {
	_, taken, _ := net.SplitHostPort(r.taken.Addr().String())
	source = strings.ReplaceAll(source, "$taken", taken)
	for n := 1; n <= 9; n++ {
		source = strings.ReplaceAll(source, fmt.Sprintf("$%d", n), fmt.Sprint(r.port(n)))
	}
	return []byte(source)
}

func (r *reloading) apply(source string) error {
	return r.ApplySource(r.t.Context(), r.file(source), failover.Options{})
}

// listens tells which of the ports somebody listens on.
func (r *reloading) listens() (open []int) {
	for n := 1; n <= 9; n++ {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port(n))); err == nil {
			_ = c.Close()
			open = append(open, n)
		}
	}
	return open
}

// serves waits until a virtual cluster has the connection that is made to a port.
func (r *reloading) serves(n int, vc string) {
	r.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port(n)))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	mine := func() bool {
		for _, k := range (operator{r.Gateway}).Clients() {
			if k.Address == c.LocalAddr().String() {
				return k.VirtualCluster == vc
			}
		}
		return false
	}
	if !eventually.True(mine) {
		r.t.Fatalf("port %d is not that of virtual cluster %s", n, vc)
	}
}

// TestARefusedEditChangesNothing: each edit moves what listens, and something else of it can't be
// had.
func TestARefusedEditChangesNothing(t *testing.T) {
	moved := strings.NewReplacer("$1", "$3", "$2", "$4").Replace(one)
	for name, c := range map[string]struct{ refused, says string }{
		"another one, below": {moved + "  b: {listen: {bootstrap: 127.0.0.1:$taken, brokers: {host: 127.0.0.1, ports: $6-$6}}, chain: []}\n", "in use"},
		"another one, above": {strings.Replace(moved, "  a:", "  0: {listen: {bootstrap: 127.0.0.1:$5, brokers: {host: 127.0.0.1, ports: $taken-$taken}}, chain: []}\n  a:", 1), "in use"},
		"a node's port":      {strings.ReplaceAll(moved, "$4", "$taken"), "in use"},
		"the admin API":      {strings.ReplaceAll(moved, "$9", "$taken"), "in use"},
		"the admin API, moved to a free address": {strings.ReplaceAll(moved, "$9", "$8") +
			"  b: {listen: {bootstrap: 127.0.0.1:$taken, brokers: {host: 127.0.0.1, ports: $6-$6}}, chain: []}\n", "in use"},
		"a certificate":            {moved + "  b: {listen: {bootstrap: 127.0.0.1:$5, tls: {cert: no.crt, key: no.key}, brokers: {sni: b$(node).test}}, chain: []}\n", "no.crt"},
		"one address by two names": {moved + "  b: {listen: {bootstrap: localhost:$3, brokers: {host: 127.0.0.1, ports: $6-$6}}, chain: []}\n", "is also the address of virtual_clusters.a.listen.bootstrap"},
		"a chain":                  {moved + "  b: {listen: {bootstrap: 127.0.0.1:$5, brokers: {host: 127.0.0.1, ports: $6-$6}}, chain: [{nothing: {}}]}\n", "nothing"},
		"the audit log":            {moved + "telemetry: {log: {audit: {file: /dev/null/audit}}}\n", "audit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReloading(t, one)
			before := r.now()
			for range 5 { // in any order of maps
				err := r.apply(c.refused)
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, not %q", err, c.says)
				}
			}
			if r.now() != before {
				t.Error("something else is in force")
			}
			if got := fmt.Sprint(r.listens()); got != "[1 2 9]" {
				t.Errorf("it listens on %s", got)
			}
			r.serves(2, "a")
			if err := r.apply(one); err != nil {
				t.Error(err)
			}
			if got := fmt.Sprint(r.listens()); got != "[1 2 9]" {
				t.Errorf("with the old file back it listens on %s", got)
			}
		})
	}
}

// TestAnAddressIsHandedOn from one to another by one edit, while neither is closed.
func TestAnAddressIsHandedOn(t *testing.T) {
	const two = one + "  b: {listen: {bootstrap: 127.0.0.1:$3, brokers: {host: 127.0.0.1, ports: $4-$4}}, chain: []}\n"
	for name, c := range map[string]struct {
		next   string
		serves map[int]string
		open   string
	}{
		"both change places": {strings.NewReplacer("$1", "$3", "$2", "$4", "$3", "$1", "$4", "$2").Replace(two), map[int]string{1: "b", 2: "b", 3: "a", 4: "a"}, "[1 2 3 4 9]"},
		"within one":         {strings.NewReplacer("$1", "$2", "$2", "$1").Replace(two), map[int]string{1: "a", 2: "a", 3: "b"}, "[1 2 3 4 9]"},
		"one after another":  {strings.NewReplacer("$1", "$3", "$2", "$4", "$3", "$5", "$4", "$6").Replace(two), map[int]string{3: "a", 4: "a", 5: "b", 6: "b"}, "[3 4 5 6 9]"},
		"one is gone":        {strings.NewReplacer("$1", "$3", "$2", "$4").Replace(one), map[int]string{3: "a", 4: "a"}, "[3 4 9]"},
		"another name":       {strings.Replace(two, "  b:", "  c:", 1), map[int]string{1: "a", 3: "c", 4: "c"}, "[1 2 3 4 9]"},
		"the admin API's":    {strings.NewReplacer("$1", "$9", "$9", "$1").Replace(two), map[int]string{9: "a", 2: "a", 3: "b"}, "[1 2 3 4 9]"},
		"by another name":    {strings.Replace(two, "bootstrap: 127.0.0.1:$1", "bootstrap: localhost:$1", 1), map[int]string{1: "a", 2: "a", 3: "b"}, "[1 2 3 4 9]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReloading(t, two)
			if err := r.apply(c.next); err != nil {
				t.Fatal(err)
			}
			for n, vc := range c.serves {
				r.serves(n, vc)
			}
			if got := fmt.Sprint(r.listens()); got != c.open {
				t.Errorf("it listens on %s", got)
			}
			if err := r.apply(two); err != nil {
				t.Fatal(err)
			}
			for n, vc := range map[int]string{1: "a", 2: "a", 3: "b", 4: "b"} {
				r.serves(n, vc)
			}
		})
	}
}

// TestAnotherHostOnOnesOwnPortSaysWhy it is refused.
func TestAnotherHostOnOnesOwnPortSaysWhy(t *testing.T) {
	r := startReloading(t, one)
	err := r.apply(strings.Replace(one, "bootstrap: 127.0.0.1:$1", "bootstrap: 0.0.0.0:$1", 1))
	if err == nil || !strings.Contains(err.Error(), "sluice.yaml:5:") || !strings.Contains(err.Error(), "the gateway itself listens") {
		t.Error(err)
	}
}

// stuck is an interceptor that looks at nothing that would end it.
type stuck struct{ entered, leave chan struct{} }

func (*stuck) Keys() plugin.KeySet { return kafka.NewKeySet(kmsg.Heartbeat) }

func (s *stuck) Intercept(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
	close(s.entered)
	<-s.leave
	return plugin.Fail(req, 0, "")
}

// TestAnEditDoesNotWaitForTheOld: a request that does not end holds up neither the edit that takes
// its virtual cluster away nor the next ones, and the addresses are free at once.
func TestAnEditDoesNotWaitForTheOld(t *testing.T) {
	const two = one + "  b: {listen: {bootstrap: 127.0.0.1:$3, brokers: {host: 127.0.0.1, ports: $4-$4}}, chain: [{stuck: {}}]}\n"
	s := &stuck{make(chan struct{}), make(chan struct{})}
	r := startReloading(t, two, plugin.Spec{Type: "stuck", Stage: plugin.Logical, New: func(context.Context, plugin.Env, config.Section) (plugin.Interceptor, error) { return s, nil }})
	defer close(s.leave)
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port(3)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrHeartbeatRequest(), 1)); err != nil {
		t.Fatal(err)
	}
	<-s.entered
	for _, source := range []string{one, two, one} {
		if err := r.apply(source); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(r.listens()); got != "[1 2 9]" {
		t.Errorf("it listens on %s", got)
	}
}
