package console

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/guard"
)

const (
	// trafficEvery is how often requests are counted, for the line of the last minute.
	trafficEvery = time.Second
	// countsEvery is how often the records of topics and the requests of sessions are counted.
	// Rates are those since the count before the last one, so over 10 to 20 s.
	countsEvery = 10 * time.Second
	// askLimit is how long clusters have to say where topics end.
	askLimit = 5 * time.Second
)

// recent is what has happened in the last minute, whether somebody looked or not: a page has its
// rates at once, and they are the same for everybody who looks.
type recent struct {
	mu      sync.Mutex
	traffic memo
	rates   rates
	counts  [2]counts // the last one, and the one before
}

// counts are counters at one time.
type counts struct {
	at time.Time
	n  map[string]int64
}

// Start counts from now on, until Close: the gateway can be asked.
func (c *Console) Start() {
	c.starts.Do(func() {
		c.keep(trafficEvery, func() { c.countTraffic(time.Now()) })
		c.keep(countsEvery, c.count) // asks clusters, who may take their time
	})
}

// keep does something at once, and again and again.
func (c *Console) keep(every time.Duration, do func()) {
	guard.Go(func() {
		guard.Keep(c.ctx, func() {
			for do(); guard.Sleep(c.ctx, every); {
				do()
			}
		})
	})
}

// countTraffic takes the rates of the last second.
func (c *Console) countTraffic(at time.Time) {
	now := c.g.Traffic()
	c.recent.mu.Lock()
	defer c.recent.mu.Unlock()
	c.recent.rates = c.recent.traffic.traffic(now, at)
}

// count counts the records of topics and the requests of sessions.
func (c *Console) count() {
	now := counts{time.Now(), map[string]int64{}}
	for _, k := range c.g.Clients() {
		now.n[sessionOf(k)] = k.Requests
	}
	for _, v := range c.g.Status().VirtualClusters {
		ctx, cancel := context.WithTimeout(c.ctx, askLimit)
		list, _ := c.g.Counts(ctx, v.Name)
		cancel()
		for _, t := range list {
			if t.Records >= 0 {
				now.n[lifeOf(v.Name, t.Topic, t.Generation)] = t.Records
			}
		}
	}
	c.recent.mu.Lock()
	defer c.recent.mu.Unlock()
	c.recent.counts = [2]counts{now, c.recent.counts[0]}
}

// rate is how fast a counter grows that stands at n now; ok is false if it was not counted before.
func (r *recent) rate(key string, n int64, at time.Time) (perSecond float64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []counts{r.counts[1], r.counts[0]} {
		before, known := c.n[key]
		if known && n >= before && at.After(c.at) {
			return float64(n-before) / elapsed(c.at, at), true
		}
	}
	return 0, false
}

// lifeOf names a topic until it moves: after an unplanned move its offsets go on somewhere above,
// which is no record.
func lifeOf(vc, topic string, generation int32) string {
	return "topic/" + vc + "/" + topic + "/" + strconv.Itoa(int(generation))
}

func sessionOf(c admin.Client) string { return fmt.Sprint("session/", c.ID) }

// shared is what clusters were asked for, for everybody who looks at about the same time.
type shared[T any] struct {
	mu sync.Mutex
	of map[string]*answered[T] // by virtual cluster
}

type answered[T any] struct {
	mu  sync.Mutex
	at  time.Time
	is  T
	err error
}

// get asks, unless there is an answer that is not older than fresh. ctx is not that of who asks:
// others wait for the answer, too.
func (s *shared[T]) get(ctx context.Context, vc string, fresh time.Duration, ask func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	if s.of == nil {
		s.of = map[string]*answered[T]{}
	}
	a := s.of[vc]
	if a == nil {
		a = &answered[T]{}
		s.of[vc] = a
	}
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() || time.Since(a.at) > fresh {
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		a.is, a.err = ask(ctx)
		a.at = time.Now()
	}
	return a.is, a.err
}

func (c *Console) topicsOf(ctx context.Context, vc string) ([]admin.Topic, error) {
	if !c.hasVirtual(vc) {
		return c.g.Topics(ctx, vc, false, nil) // says that there is none, and is not kept
	}
	return c.allTopics.get(c.ctx, vc, 2*time.Second, func(ctx context.Context) ([]admin.Topic, error) { return c.g.Topics(ctx, vc, false, nil) })
}

func (c *Console) groupsOf(ctx context.Context, vc string) (admin.Groups, error) {
	if !c.hasVirtual(vc) {
		return c.g.Groups(ctx, vc)
	}
	return c.allGroups.get(c.ctx, vc, 2*time.Second, func(ctx context.Context) (admin.Groups, error) { return c.g.Groups(ctx, vc) })
}

// hasVirtual bounds what is kept to the virtual clusters that there are.
func (c *Console) hasVirtual(vc string) bool {
	for _, v := range c.g.Status().VirtualClusters {
		if v.Name == vc {
			return true
		}
	}
	return false
}
