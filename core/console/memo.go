package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// looks is how many points the line of request rates has: one for each second of the last minute.
const looks = 60

// memo is what was counted at the last look, to tell rates.
type memo struct {
	at      time.Time
	apis    map[[2]string]admin.APITraffic
	history []float64
}

// rates are what has happened since the last look; Known is false in the first.
type rates struct {
	Known             bool
	Requests, In, Out float64 // per second
	P50, P99          time.Duration
	APIs              []apiRate
	Line              string // the points of a line
}

type apiRate struct {
	VirtualCluster, API string
	Total               int64
	Requests, In, Out   float64
	P50, P99            time.Duration
}

// traffic compares with the last look. The totals of p50 and p99 are those of Produce: fetches wait
// for records, so their time says nothing.
func (m *memo) traffic(now []admin.Traffic, at time.Time) rates {
	r := rates{Known: !m.at.IsZero()}
	since := elapsed(m.at, at)
	next := map[[2]string]admin.APITraffic{}
	var all telemetry.Histogram
	for _, t := range now {
		for _, a := range t.APIs {
			k := [2]string{t.VirtualCluster, a.API}
			before := m.apis[k]
			next[k] = a
			x := apiRate{VirtualCluster: t.VirtualCluster, API: a.API, Total: a.Requests}
			h := a.Latency
			if r.Known {
				h = h.Since(before.Latency)
				x.Requests, x.In, x.Out = float64(a.Requests-before.Requests)/since, float64(a.BytesIn-before.BytesIn)/since, float64(a.BytesOut-before.BytesOut)/since
				r.Requests, r.In, r.Out = r.Requests+x.Requests, r.In+x.In, r.Out+x.Out
			}
			x.P50, x.P99 = h.Quantile(0.5), h.Quantile(0.99)
			if a.API == "Produce" {
				all = all.Add(h)
			}
			r.APIs = append(r.APIs, x)
		}
	}
	r.P50, r.P99 = all.Quantile(0.5), all.Quantile(0.99)
	slices.SortStableFunc(r.APIs, func(a, b apiRate) int { return cmp.Compare(b.Requests, a.Requests) })
	if r.Known {
		m.history = append(m.history, r.Requests)
		m.history = m.history[max(len(m.history)-looks, 0):]
	}
	r.Line = line(m.history)
	m.at, m.apis = at, next
	return r
}

// elapsed is in seconds, and never nothing.
func elapsed(from, to time.Time) float64 { return max(to.Sub(from).Seconds(), 0.001) }

// line draws values over a field of 240 x 40, the newest on the right.
func line(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	top := max(slices.Max(values), 1)
	var b strings.Builder
	for i, v := range values {
		fmt.Fprintf(&b, "%.1f,%.1f ", 240*float64(i)/float64(len(values)-1), 39-38*v/top)
	}
	return b.String()
}

// shownMove is a move with its last attempt as steps of a bar.
type shownMove struct {
	failover.Report
	Bar  []step
	Held time.Duration // since clients are held, or how long they were
}

type step struct {
	Phase  failover.Phase
	State  string // done, now, todo
	Lasted time.Duration
}

var phases = []failover.Phase{failover.Check, failover.Hold, failover.Fence, failover.Prepare, failover.Commit, failover.Drain, failover.Publish}

// show lays out the last attempt of a move.
func show(r failover.Report, now time.Time) shownMove {
	m := shownMove{Report: r, Held: time.Duration(r.PauseMS) * time.Millisecond}
	first := 0
	for i, s := range r.Steps {
		if s.Phase == failover.Check {
			first = i
		}
	}
	last := r.Steps[first:]
	for _, p := range phases {
		x := step{Phase: p, State: "todo"}
		for i, s := range last {
			if s.Phase != p {
				continue
			}
			x.State, x.Lasted = "now", now.Sub(s.At)
			if i+1 < len(last) {
				x.State, x.Lasted = "done", last[i+1].At.Sub(s.At)
			}
			if p == failover.Hold && r.Ended.IsZero() && r.Phase != failover.Pending {
				m.Held = now.Sub(s.At)
			}
		}
		if p == failover.Fence && x.State == "todo" { // most have no hook for it
			continue
		}
		m.Bar = append(m.Bar, x)
	}
	return m
}
