package console

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
)

func TestRatesAreDifferences(t *testing.T) {
	var m memo
	var l telemetry.Latency
	l.Record(time.Second) // before anybody looked
	at := time.Now()
	look := func(n int64) rates {
		return m.traffic([]admin.Traffic{{VirtualCluster: "v", APIs: []admin.APITraffic{{API: "Produce", Requests: n, BytesIn: 10 * n, Latency: l.Histogram()}}}}, at)
	}
	if r := look(100); r.Known || r.Requests != 0 || r.Line != "" {
		t.Errorf("the first look: %+v", r)
	}
	for range 50 {
		l.Record(10 * time.Millisecond)
	}
	at = at.Add(2 * time.Second)
	{
		r := look(150)
		about := fact.Of(t, "the second look: %+v", r)
		fact.True(about, "r.Known", r.Known)
		fact.Equal(about, "r.Requests", r.Requests, 25)
		fact.Equal(about, "r.In", r.In, 250)
		fact.AtLeast(about, "r.P99", r.P99, 10*time.Millisecond)
		fact.AtMost(about, "r.P99", r.P99, 13*time.Millisecond)
	}
	for range 2 * looks {
		at = at.Add(time.Second)
		look(150)
	}
	r := look(150)
	if points := strings.Fields(r.Line); len(points) != looks || points[0] != "0.0,39.0" || !strings.HasPrefix(points[looks-1], "240.0,") {
		t.Errorf("%d points: %s", len(points), r.Line)
	}
}

// TestTopicsThatShrinkOrHaveMovedHaveNoRate: nothing has come to them.
func TestTopicsThatShrinkOrHaveMovedHaveNoRate(t *testing.T) {
	at := time.Now()
	key := lifeOf("", "x", 0)
	r := recent{counts: [2]counts{{at.Add(10 * time.Second), map[string]int64{key: 50}}, {at, map[string]int64{key: 100}}}}
	for name, c := range map[string]struct {
		key   string
		n     int64
		want  float64
		known bool
	}{
		"one that grows, from the count before the last": {key, 300, 10, true},
		"one that was cut between the counts":            {key, 70, 2, true},
		"one that was cut since":                         {key, 10, 0, false},
		"one that has moved":                             {lifeOf("", "x", 1), 2 << 20, 0, false},
		"one of another virtual cluster":                 {lifeOf("y", "x", 0), 300, 0, false},
	} {
		if got, known := r.rate(c.key, c.n, at.Add(20*time.Second)); got != c.want || known != c.known {
			t.Errorf("%s: %v, known %t", name, got, known)
		}
	}
}

// TestTheBarShowsTheLastAttempt: phases of earlier ones are gone, the last one runs.
func TestTheBarShowsTheLastAttempt(t *testing.T) {
	at := time.Now()
	r := failover.Report{Phase: failover.Prepare}
	for i, p := range []failover.Phase{failover.Pending, failover.Check, failover.Hold, failover.Prepare, failover.Pending, failover.Check, failover.Hold, failover.Prepare} {
		r.Steps = append(r.Steps, failover.Step{Phase: p, At: at.Add(time.Duration(i) * time.Second)})
	}
	m := show(r, at.Add(9*time.Second))
	var states []string
	for _, s := range m.Bar {
		states = append(states, s.State)
	}
	if got := strings.Join(states, " "); got != "done done now todo todo todo" {
		t.Error(got)
	}
	if m.Bar[0].Lasted != time.Second || m.Bar[2].Lasted != 2*time.Second || m.Held != 3*time.Second {
		t.Errorf("%+v", m)
	}
	r.Phase = failover.Pending
	r.Steps = append(r.Steps, failover.Step{Phase: failover.Pending, At: at.Add(9 * time.Second)})
	r.PauseMS = 2500
	if m := show(r, at.Add(20*time.Second)); m.Held != 2500*time.Millisecond || m.Bar[2].State != "done" {
		t.Errorf("a move that waits again: %+v", m)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for got, want := range map[string]string{
		num(int64(admin.Unknown)): "?", num(int32(5)): "5", size(999): "999 B", size(12_345_678): "12.3 MB", size(2.5e15): "2.5e+03 TB",
		took(1500 * time.Microsecond): "1.5 ms", took(90 * time.Second): "1m30s", took(72 * time.Hour): "3 d", took(0): "0 µs", whole(1500 * time.Millisecond): "1 s",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
