package main

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"limits": [{"match": "app-*", "records": 10}]}`:                               "",
		`{"per": "principal", "limits": [{"records": 0.5, "bytes": 1, "burst": "5s"}]}`: "",
		`{}`: "config.limits is missing",
		`{"per": "ip", "limits": [{"records": 1}]}`:    "config.per",
		`{"limits": [{"match": "a"}]}`:                 "needs records or bytes",
		`{"limits": [{"records": -1, "bytes": 1}]}`:    "needs records or bytes",
		`{"limits": [{"records": 1, "burst": "-1s"}]}`: "such as 10s",
		`{"limits": [{"record": 1}]}`:                  "unknown field",
	} {
		err := sdk.New("ratelimit", &ratelimit{}).Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// clock is a time that tests move. It begins with the real one, which the store forgets by.
type clock struct{ t time.Time }

func guest(t testing.TB, h sdk.Host, c *clock, config string) *sdk.Guest {
	t.Helper()
	g := sdk.New("ratelimit", &ratelimit{now: func() time.Time { return c.t }})
	g.SetHost(h)
	if err := g.Configure([]byte(config)); err != nil {
		t.Fatal(err)
	}
	return g
}

// send produces n records of 10 bytes and reports whether they were admitted.
func send(t *testing.T, g *sdk.Guest, c sdktest.Client, n int) bool {
	t.Helper()
	records := make([]sdktest.Record, n)
	for i := range records {
		records[i] = sdktest.Record{Topic: "t", Key: []byte("kk"), Value: []byte("vvvv"), Headers: []sdktest.Header{{Key: "hh", Value: []byte("xx")}}}
	}
	got, err := sdktest.Produce(g, c, records...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Refused != nil && (got.Refused.Code != requestTimedOut || !strings.Contains(got.Refused.Message, "above its rate")) {
		t.Errorf("refused with %v", got.Refused)
	}
	return got.Refused == nil
}

func TestRate(t *testing.T) {
	type step struct {
		after time.Duration
		n     int
		want  bool
	}
	for name, c := range map[string]struct {
		config string
		steps  []step
	}{
		// 100 records are a second's worth: a second one may be owed, no more.
		"records": {`{"limits": [{"records": 100}]}`, []step{{0, 100, true}, {0, 50, true}, {0, 1, false}, {400 * time.Millisecond, 1, false}, {100 * time.Millisecond, 1, true}, {0, 1, false}}},
		"bytes":   {`{"limits": [{"bytes": 1000}]}`, []step{{0, 100, true}, {0, 50, true}, {0, 1, false}, {500 * time.Millisecond, 1, true}}},
		"burst":   {`{"limits": [{"records": 100, "burst": "10s"}]}`, []step{{0, 900, true}, {0, 100, true}, {0, 1, true}, {0, 1, false}}},
		"either":  {`{"limits": [{"records": 1000, "bytes": 100}]}`, []step{{0, 20, true}, {0, 1, false}}},
		// A request above the limit passes, and is paid for.
		"large": {`{"limits": [{"records": 1}]}`, []step{{0, 60, true}, {58 * time.Second, 1, false}, {time.Second, 1, true}}},
		"idle":  {`{"limits": [{"records": 100}]}`, []step{{0, 150, true}, {time.Hour, 150, true}, {0, 1, false}}},
		"tiny":  {`{"limits": [{"records": 0.000000000001}]}`, []step{{0, 1, true}, {0, 1, false}, {time.Hour, 1, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			now := &clock{time.Now()}
			g := guest(t, sdk.NewMemory(), now, c.config)
			for i, s := range c.steps {
				now.t = now.t.Add(s.after)
				if got := send(t, g, sdktest.Client{ID: "app"}, s.n); got != s.want {
					t.Errorf("step %d: admitted %v", i, got)
				}
			}
		})
	}
}

func TestClientsAreApart(t *testing.T) {
	m := sdk.NewMemory()
	now := &clock{time.Now()}
	config := `{"limits": [{"match": "app-*", "records": 10}, {"match": ["team/*"], "records": 1000}]}`
	g, other := guest(t, m, now, config), guest(t, m, now, config)
	app := sdktest.Client{ID: "app-1"}
	if !send(t, g, app, 30) || send(t, other, app, 1) {
		t.Error("instances don't share the budget")
	}
	for _, id := range []string{"app-2", "team/a/b", "free", ""} {
		if !send(t, g, sdktest.Client{ID: id}, 30) {
			t.Errorf("%q pays for app-1", id)
		}
	}
	if !send(t, g, sdktest.Client{ID: "free"}, 5000) || !send(t, g, sdktest.Client{ID: "free"}, 1) {
		t.Error("who has no limit is limited")
	}
	if n := m.Metric(`{"name":"ratelimit_refused_total","labels":{"match":"app-*"}}`); n != 1 {
		t.Errorf("counted %v", n)
	}
}

func TestPerPrincipal(t *testing.T) {
	g := guest(t, sdk.NewMemory(), &clock{time.Now()}, `{"per": "principal", "limits": [{"match": "User:*", "records": 10}]}`)
	if !send(t, g, sdktest.Client{ID: "a", Principal: "User:alice"}, 30) || send(t, g, sdktest.Client{ID: "b", Principal: "User:alice"}, 1) {
		t.Error("another client id is another budget")
	}
}

// TestInstancesAtOnce: budgets are paid exactly once, whoever comes between.
func TestInstancesAtOnce(t *testing.T) {
	gw := sdk.NewGateway(sdk.NewMemory())
	now := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				b := bucket{key: "k", now: now, burst: time.Hour}
				for {
					if _, err := b.take(gw, time.Second, 2*time.Second); err == nil {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	wait, err := bucket{key: "k", now: now, burst: 0}.take(gw, 0, 0)
	if err != nil || wait != 200*time.Second {
		t.Errorf("%v is owed, %v", wait, err)
	}
}

// full is a host whose store takes nothing more.
type full struct{ *sdk.Memory }

func (full) KVCas(_, _, _ []byte, _ int64) int32 { return abi.ErrTooLarge }

func TestAFullStoreStopsNobody(t *testing.T) {
	m := sdk.NewMemory()
	g := guest(t, full{m}, &clock{time.Now()}, `{"limits": [{"records": 1}]}`)
	for range 5 {
		if !send(t, g, sdktest.Client{ID: "app"}, 10) {
			t.Error("refused")
		}
	}
	if lines := m.Lines(); len(lines) != 5 || !strings.Contains(lines[0], "too large") {
		t.Errorf("logged %q", lines)
	}
}

// busy is a host on which somebody always comes between.
type busy struct{ *sdk.Memory }

func (busy) KVCas(_, _, _ []byte, _ int64) int32 { return abi.ErrDenied }

func TestGivesUp(t *testing.T) {
	gw := sdk.NewGateway(busy{sdk.NewMemory()})
	if _, err := (bucket{key: "k", now: time.Now()}).take(gw, 1, 1); err == nil || errors.Is(err, sdk.ErrChanged) {
		t.Errorf("%v", err)
	}
}

func BenchmarkProduce(b *testing.B) {
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = sdktest.Record{Topic: "t", Value: make([]byte, 200)}
	}
	g := guest(b, sdk.NewMemory(), &clock{time.Now()}, `{"limits": [{"records": 1e15, "bytes": 1e15}]}`)
	block := sdktest.Block(1, 0, 9, sdktest.Client{ID: "app"}, records)
	b.ReportAllocs()
	for b.Loop() {
		g.Call(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
