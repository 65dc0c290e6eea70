package alerts

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// incident is what happens to a gateway, and what Prometheus says of it.
type incident struct {
	name  string
	begin func(w *world) (mend func())
	fires []string
	may   []string // fire as well: what comes of it takes its time
	log   []string // of one line
	// Then, before it is mended, something is done that ends some of the alerts alone.
	then   func(w *world)
	clears []string
}

// anyhow may fire on a busy machine, where a minute is a second.
var anyhow = []string{"SluiceLatencyHigh", "SluiceErrorsHigh", "SluiceRequestsHeld", "SluiceDown"}

func incidents() []incident {
	return []incident{
		{name: "the gateway is down", fires: []string{"SluiceDown"}, begin: func(w *world) func() {
			_ = w.gw.Stop()
			return func() {
				if err := w.gw.Restart(w.ctx); err != nil {
					w.t.Fatal(err)
				}
			}
		}},
		{name: "an edit is refused", fires: []string{"SluiceConfigRefused"}, log: []string{"configuration not applied", "nowhere"}, begin: func(w *world) func() {
			w.edit("orders: {cluster: prod}", "orders: {cluster: nowhere}")
			return func() { w.edit("orders: {cluster: nowhere}", "orders: {cluster: prod}") }
		}},
		{name: "a certificate is about to expire", fires: []string{"SluiceCertificateExpires", "SluiceCertificateExpiresSoon"}, begin: func(w *world) func() {
			w.certificate(24 * time.Hour)
			w.edit("virtual_clusters:\n", fmt.Sprintf("virtual_clusters:\n  secure:\n    clusters: [prod]\n    listen: {bootstrap: 127.0.0.1:%d, tls: {cert: server.crt, key: server.key}, brokers: {sni: b$(node).kafka.test}}\n    chain: []\n", w.secure))
			return func() { w.certificate(365 * 24 * time.Hour) }
		}},
		{name: "a cluster is down", fires: []string{"SluiceClusterUnreachable", "SluiceRequestsHeld"}, log: []string{"cluster unreachable", "cluster=prod"}, begin: func(w *world) func() {
			end := w.flow()
			w.kill(w.prod)
			return func() {
				w.restart(w.prod)
				end()
			}
		}},
		{
			name: "a plugin misbehaves", fires: []string{"SluiceGuestFailing", "SluiceGuestLeftAlone"}, log: []string{"level=WARN", "the guest failed", `reason="panic: no such customer"`},
			may: []string{"SluiceInterceptorFailing"},
			begin: func(w *world) func() {
				w.edit("      - routing:", "      - moody: {on_error: pass}\n      - routing:")
				end, others := w.flow(), w.strangers() // with one client alone it fails ever more rarely
				return func() {
					w.edit("      - moody: {on_error: pass}\n", "")
					end()
					others()
				}
			},
		},
		{
			name: "the gateway is overloaded", fires: []string{"SluiceRequestMemoryHigh", "SluiceRequestsHeld"}, log: []string{"level=WARN", "memory gets short"},
			begin: func(w *world) func() {
				w.edit("state: {dir: ./state}", "state: {dir: ./state}\nlimits: {process_bytes: 256KiB}")
				w.limited(256 << 10)
				gate := w.gw.Gate(tenant, "orders")
				gate.Hold(w)
				var all []*kgo.Client
				for range 30 {
					c := w.client()
					c.Produce(w.ctx, &kgo.Record{Value: bytes.Repeat([]byte("x"), 10<<10)}, nil)
					all = append(all, c)
				}
				return func() {
					gate.Release(w)
					for _, c := range all {
						_ = c.Flush(w.ctx)
					}
					w.edit("limits: {process_bytes: 256KiB}", "")
				}
			},
		},
		{name: "produces are slow", fires: []string{"SluiceLatencyHigh"}, may: []string{"SluiceRequestsHeld"}, begin: func(w *world) func() {
			gate := w.gw.Gate(tenant, "orders")
			ctx, cancel := context.WithCancel(w.ctx)
			end := w.flow()
			var wg sync.WaitGroup
			wg.Go(func() {
				for ctx.Err() == nil {
					gate.Hold(w)
					pause(ctx, 1500*time.Millisecond)
					gate.Release(w)
					pause(ctx, 10*time.Millisecond)
				}
			})
			return func() {
				cancel()
				wg.Wait()
				end()
			}
		}},
		{name: "a move is refused", fires: []string{"SluiceMoveStuck", "SluiceFailoverBlocked"}, log: []string{"move waits", "records behind"}, begin: func(w *world) func() {
			if err := w.copier.CaughtUp(w.ctx); err != nil {
				w.t.Fatal(err)
			}
			w.copier.Stop()
			w.produce(5)
			w.edit("orders: {cluster: prod}", "orders: {cluster: dr}")
			return func() {
				w.copy(w.copier.Position())
				w.moved("dr")
				w.copier.Stop()
			}
		}},
		{
			name: "records are lost", fires: []string{"SluiceMovePossibleLoss", "SluiceClusterUnreachable"}, log: []string{"level=WARN", "topic moved", "possible_loss=7"},
			begin: func(w *world) func() {
				w.produce(7)
				w.kill(w.dr)
				w.edit("orders: {cluster: dr}", "orders: {cluster: prod, unplanned: always}")
				w.moved("prod")
				return func() { w.restart(w.dr) }
			},
			then: func(w *world) { w.post("/api/v1/moves/acknowledge", `{"all": true}`) }, clears: []string{"SluiceMovePossibleLoss"},
			may: []string{"SluiceFailoverBlocked"},
		},
	}
}

// each waits until the servers keep a histogram each in its form, and not in the other.
func (w *world) each(classic, native string) {
	w.t.Helper()
	for how, query := range map[string][2]string{"classic": {classic, native}, "native": {native, classic}} {
		s := w.servers[how]
		if !eventually.True(func() bool { return s.series(w.t, query[0]) > 0 }) {
			w.t.Fatalf("the %s server never has %s", how, query[0])
		}
		if n := s.series(w.t, query[1]); n > 0 {
			w.t.Errorf("the %s server has %d series of %s", how, n, query[1])
		}
	}
}

// limited waits until a limit of memory is in force.
func (w *world) limited(bytes int64) {
	w.t.Helper()
	if !eventually.True(func() bool { return w.gw.Snapshot().Limits.ProcessBytes == bytes }) {
		w.t.Fatal("the limit does not come into force")
	}
}

// seen is when an alert of an incident began to fire, and when it ended.
type seen struct{ fired, cleared time.Duration }

// watch waits until alerts fire, or don't, in the eyes of all servers, and notes when each changes.
func (w *world) watch(what string, notes map[string]map[string]*seen, began time.Time, over bool, holds func(firing map[string]alert) bool) {
	w.t.Helper()
	last := map[string][]string{}
	if eventually.True(func() bool {
		all := true
		for how, s := range w.servers {
			firing, err := s.firing(w.ctx)
			if err != nil {
				return false
			}
			last[how] = nil
			for name, a := range firing {
				last[how] = append(last[how], name)
				if notes[name] == nil {
					notes[name] = map[string]*seen{}
				}
				if notes[name][how] == nil {
					notes[name][how] = &seen{fired: time.Since(began)}
				}
				notes[name][how].cleared = 0
				if text := fmt.Sprint(a.Annotations); strings.Contains(text, "error expanding") || strings.Contains(text, "<no value>") {
					w.t.Errorf("%s says %s", name, text)
				}
			}
			for name, by := range notes {
				if _, ok := firing[name]; !ok && over && by[how] != nil && by[how].cleared == 0 {
					by[how].cleared = time.Since(began)
				}
			}
			all = all && holds(firing)
		}
		return all
	}) {
		return
	}
	w.t.Fatalf("%s: in vain, %v fire", what, last)
}

// TestIncidents plays them with Prometheus itself, at a sixtieth of the rules' times, once with
// classic histograms and once with native ones alone, and says which alerts fire and when they end.
func TestIncidents(t *testing.T) {
	kafkatest.Require(t, "prometheus")
	w := newWorld(t)
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(out, "incident\talert\tfor, here\tfires after\tclears after\n")
	rules := shortened(t)
	w.produce(20)
	none := map[string]map[string]*seen{}
	w.watch("calm", none, time.Now(), false, func(f map[string]alert) bool { return len(f) == 0 })
	w.each("sluice_request_duration_seconds_bucket", "sluice_request_duration_seconds")
	for _, i := range incidents() {
		notes, began := map[string]map[string]*seen{}, time.Now()
		mend := i.begin(w)
		w.watch(i.name, notes, began, false, func(firing map[string]alert) bool {
			for _, name := range i.fires {
				if _, ok := firing[name]; !ok {
					return false
				}
			}
			return true
		})
		if len(i.log) > 0 && !eventually.True(func() bool { return w.log.has(i.log...) }) {
			t.Errorf("%s: no line of the log has %q", i.name, i.log)
		}
		mended := time.Now()
		if i.then != nil {
			i.then(w)
			w.watch(i.name+", and then", notes, mended, true, func(firing map[string]alert) bool {
				for _, name := range i.fires {
					if _, ok := firing[name]; ok == slices.Contains(i.clears, name) {
						return false
					}
				}
				return true
			})
			mended = time.Now()
		}
		mend()
		w.watch(i.name+" is over", notes, mended, true, func(firing map[string]alert) bool {
			for name := range firing {
				if !slices.Contains(i.may, name) {
					return false
				}
			}
			return true
		})
		for name := range notes {
			if !slices.Contains(slices.Concat(i.fires, i.may, anyhow), name) {
				t.Errorf("%s: %s fires", i.name, name)
			}
		}
		for _, name := range i.fires {
			for _, how := range slices.Sorted(maps.Keys(w.servers)) {
				s := notes[name][how]
				_, _ = fmt.Fprintf(out, "%s\t%s (%s)\t%s\t%s\t%s\n", i.name, name, how, rules.rule(name).For, s.fired.Round(100*time.Millisecond), s.cleared.Round(100*time.Millisecond))
			}
		}
	}
	_ = out.Flush()
	t.Logf("times are a sixtieth of those in the rules\n%s", &table)
}
