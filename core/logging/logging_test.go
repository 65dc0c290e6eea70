package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// paper is a writer that can be read meanwhile.
type paper struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

// take returns the lines written since the last call, without their times.
func (p *paper) take() (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(p.b.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		out = append(out, line)
	}
	p.b.Reset()
	return out
}

func expect(t *testing.T, p *paper, want ...string) {
	t.Helper()
	if got := p.take(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("written:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func info(levels map[string]string) Settings {
	return Settings{Format: "text", Levels: Levels{Level: "info", Levels: levels}}
}

// TestLevelsPerComponent: loggers that exist already follow them, those derived from them included.
func TestLevelsPerComponent(t *testing.T) {
	var out paper
	l := New(&out, info(nil))
	upstream := l.Logger("upstream").With("cluster", "prod")
	guest := l.Logger("wasm").With(Component, "wasm.mask")
	server := l.Logger("server")
	say := func() {
		for _, log := range []*slog.Logger{upstream, guest, server} {
			log.Debug("d")
			log.Info("i")
		}
	}
	say()
	expect(t, &out, `level=INFO msg=i component=upstream cluster=prod`, `level=INFO msg=i component=wasm.mask`, `level=INFO msg=i component=server`)
	l.Set(info(map[string]string{"upstream": "debug", "wasm": "error", "server": "warn"}))
	say()
	expect(t, &out, `level=DEBUG msg=d component=upstream cluster=prod`, `level=INFO msg=i component=upstream cluster=prod`)
	l.Set(info(map[string]string{"wasm": "error", "wasm.mask": "debug", "upstream": "error", "server": "error"}))
	say()
	expect(t, &out, `level=DEBUG msg=d component=wasm.mask`, `level=INFO msg=i component=wasm.mask`)
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("a level that is none")
	}
}

// TestFormatAndTraceIDs: JSON from the next line on; the ids are those of the context.
func TestFormatAndTraceIDs(t *testing.T) {
	var out paper
	l := New(&out, info(nil))
	log := l.Logger("server").WithGroup("g").With("a", 1)
	s := info(nil)
	s.Format = "json"
	l.Set(s)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	l.Logger("server").ErrorContext(ctx, "failed", "error", errors.New("e"))
	log.Info("grouped")
	var v []map[string]any
	for line := range strings.Lines(out.b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		v = append(v, m)
	}
	about := fact.Of(t, "%v", v[0])
	fact.Equal(about, `v[0]["component"]`, v[0]["component"], "server")
	fact.Equal(about, `v[0]["trace_id"]`, v[0]["trace_id"], "01000000000000000000000000000000")
	fact.Equal(about, `v[0]["span_id"]`, v[0]["span_id"], "0200000000000000")
	fact.Equal(about, `v[0]["error"]`, v[0]["error"], "e")
	if fmt.Sprint(v[1]["g"]) != "map[a:1]" || v[1]["component"] != "server" || v[1]["trace_id"] != nil {
		t.Errorf("%v", v[1])
	}
}

func repeating() Settings {
	s := info(map[string]string{})
	s.Repeats = 10 * time.Second
	return s
}

// TestRepeatsAreCounted and none is lost: what is written and what is counted is all that was said.
func TestRepeatsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out paper
		l := New(&out, repeating())
		log := l.Logger("upstream")
		prod, dr := log.With("cluster", "prod"), log.With("cluster", "dr")
		for range 5 {
			prod.Warn("unreachable", "error", "refused")
		}
		dr.Warn("unreachable", "error", "refused")
		l.Logger("server").Warn("unreachable", "error", "refused")
		prod.Error("unreachable", "error", "refused")
		expect(t, &out, `level=WARN msg=unreachable component=upstream cluster=prod error=refused`, `level=WARN msg=unreachable component=upstream cluster=dr error=refused`,
			`level=WARN msg=unreachable component=server error=refused`, `level=ERROR msg=unreachable component=upstream cluster=prod error=refused`)
		time.Sleep(10*time.Second - time.Nanosecond)
		expect(t, &out)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect(t, &out, `level=WARN msg=unreachable component=upstream cluster=prod error=refused repeated=4`)
		prod.Warn("unreachable", "error", "refused") // of a new window
		prod.Warn("unreachable", "error", "refused")
		expect(t, &out, `level=WARN msg=unreachable component=upstream cluster=prod error=refused`)
		l.Close()
		expect(t, &out, `level=WARN msg=unreachable component=upstream cluster=prod error=refused repeated=1`)
	})
}

// TestLinesThatMustNotBeCountedAreWritten each, also while others of their kind are counted.
func TestLinesThatMustNotBeCountedAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out paper
		l := New(&out, repeating())
		log := l.Logger("failover")
		for range 2 {
			log.Warn("topic moved", "possible_loss", 3)
		}
		log.WarnContext(telemetry.EveryLine(t.Context()), "topic moved", "possible_loss", 3)
		const line = `level=WARN msg="topic moved" component=failover possible_loss=3`
		expect(t, &out, line, line)
		l.Close()
		expect(t, &out, line+" repeated=1")
	})
}

// TestAFloodOfDifferentLines with one message is bounded, and counted too.
func TestAFloodOfDifferentLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out paper
		l := New(&out, repeating())
		const n = 5000
		for i := range n {
			l.Logger("server").Info("session closed", "client", i)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got := out.take()
		if want := fmt.Sprintf("level=INFO msg=\"session closed\" component=server client=%d repeated=%d", n-1, n-mostAlike); len(got) != mostAlike+1 || got[mostAlike] != want {
			t.Errorf("%d lines, the last %s", len(got), got[len(got)-1])
		}
		for i := range 2 * mostSayings { // as a guest might say
			l.Logger("wasm").Info(fmt.Sprint("message ", i))
		}
		if got := out.take(); len(got) != 2*mostSayings {
			t.Errorf("%d of %d different messages", len(got), 2*mostSayings)
		}
		l.Close()
		if len(l.repeats.said) != 0 {
			t.Errorf("%d are remembered", len(l.repeats.said))
		}
	})
}

// stuck is a handler that waits.
type stuck struct {
	slog.Handler
	entered, release chan struct{}
}

func (s *stuck) Handle(ctx context.Context, r slog.Record) error {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	return s.Handler.Handle(ctx, r)
}

func (s *stuck) WithAttrs(a []slog.Attr) slog.Handler {
	return &stuck{s.Handler.WithAttrs(a), s.entered, s.release}
}

// TestAQueueNeverWaits: while the writer is stuck lines are dropped, and their number is told.
func TestAQueueNeverWaits(t *testing.T) {
	var out paper
	s := &stuck{slog.NewTextHandler(&out, nil), make(chan struct{}, 1), make(chan struct{})}
	l := Into(s, Settings{Levels: Levels{Level: "error"}})
	q := l.NewQueue("access", 4)
	add := func(i int) {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
		r.AddAttrs(slog.Int("n", i))
		q.Add(r)
	}
	add(0)
	<-s.entered
	for i := range 7 {
		add(i + 1)
	}
	close(s.release)
	q.Close()
	q.Close()
	expect(t, &out, `level=INFO msg=request component=access n=0`, `level=WARN msg="lines were dropped: they came faster than they could be written" component=access lines=3`,
		`level=INFO msg=request component=access n=1`, `level=INFO msg=request component=access n=2`, `level=INFO msg=request component=access n=3`, `level=INFO msg=request component=access n=4`)
	if q.Dropped() != 3 {
		t.Errorf("%d dropped", q.Dropped())
	}
}

// TestALineThatIsNotWrittenCostsNothing.
func TestALineThatIsNotWrittenCostsNothing(t *testing.T) {
	log := New(&paper{}, repeating()).Logger("server")
	if n := testing.AllocsPerRun(100, func() { log.Debug("x") }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
