// Package failover moves topics from one home to another: it compares what the rules say with what
// the catalog says, and carries each difference through the phases of a move, which clients see as
// an ordinary leader election.
package failover

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// move is a running or pending move.
type move struct {
	together *together
	order    order     // what asked for it; zero if that was forgotten
	taken    bool      // nobody has asked for it: the old home is gone
	edited   time.Time // when the file asked for it; zero if it did so before the gateway started
	cancel   func()
	done     chan struct{}
	// answered says that the old home has lived since the edit: the move stays a planned one,
	// however long it waits.
	answered bool
	alive    time.Time // when the old home last gave a sign of life that is no answer
	// unanswered is how often the move has held clients in vain, for produces that were not
	// answered.
	unanswered int

	// trace is all that the move does, span the root of it, phase the one of the phase that it is
	// in.
	tracer *telemetry.Tracer
	trace  context.Context
	span   trace.Span
	phase  trace.Span

	mu     sync.Mutex
	report Report
	gone   bool   // a newer edit has taken its place; it ends soon
	goneBy string // who made that edit
}

// drop ends a move that is not committed; a committed one ends by itself, and nothing that it still
// has to do is cut short.
func (m *move) drop(by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone, m.goneBy = true, by
	if !m.report.Phase.Committed() {
		m.cancel()
	}
}

// asker is who asked for the move, or for its end.
func (m *move) asker() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.report.Phase == Dropped && m.gone {
		return m.goneBy
	}
	return m.report.By
}

func (m *move) dropped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

func (m *move) enter(p Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step(p)
}

func (m *move) step(p Phase) {
	now := time.Now()
	m.report.Phase = p
	m.report.Steps = append(m.report.Steps, Step{p, now})
	if n := len(m.report.Steps) - mostSteps; n > 0 {
		m.report.Steps = slices.Delete(m.report.Steps, 1, 1+n)
	}
	if m.phase != nil {
		m.phase.End(trace.WithTimestamp(now))
	}
	if m.phase = nil; p != Done && p != Dropped {
		_, m.phase = m.tracer.Start(m.trace, string(p), now, m.tells()...)
	}
}

// tells are the attributes of all spans of the move: the one over all of them is not there before
// it ends.
func (m *move) tells() []attribute.KeyValue {
	r := &m.report
	what := telemetry.Destination
	if r.Kind == Group {
		what = telemetry.ConsumerGroup
	}
	return []attribute.KeyValue{
		telemetry.Move.String(r.ID), telemetry.VirtualCluster.String(r.VirtualCluster), what.String(r.Topic),
		telemetry.From.String(r.From), telemetry.To.String(r.To),
	}
}

// begin opens the move's trace, and shows it with a first span, as each phase does when it ends;
// end closes it.
func (m *move) begin(t *telemetry.Tracer) {
	r := &m.report
	m.tracer = t
	m.trace, m.span = t.Start(context.Background(), "move", r.Since, m.tells()...)
	_, asked := t.Start(m.trace, "asked", r.Since, m.tells()...)
	asked.End(trace.WithTimestamp(r.Since))
}

func (m *move) end(r Report, err error) {
	m.span.SetAttributes(telemetry.From.String(r.From), telemetry.Planned.Bool(r.Planned), telemetry.Duration.Float64(float64(r.PauseMS)), telemetry.Count.Int(r.Attempts))
	if err != nil {
		telemetry.FailAs(m.span, string(block.Of(err)), err.Error())
	}
	m.span.End()
}

// refused says in the trace what keeps the move from going on.
func (m *move) refused(err error) {
	m.span.AddEvent("refused", trace.WithAttributes(telemetry.Reason.String(err.Error())))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != nil {
		telemetry.FailAs(m.phase, string(block.Of(err)), err.Error())
	}
}

// tryCommit enters the commit, unless a newer edit has taken the move's place.
func (m *move) tryCommit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return false
	}
	m.step(Commit)
	return true
}

// change alters the report under its lock.
func (m *move) change(f func(*Report)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.report)
}

// Report is a copy of what is known.
func (m *move) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.report
	r.Steps = append([]Step{}, r.Steps...)
	r.PossibleLoss = append([]Range{}, r.PossibleLoss...)
	r.Notes = append([]string{}, r.Notes...)
	return r
}

// committed reports a move that can't be aborted any more.
func (m *move) committed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.report.Phase.Committed()
}
