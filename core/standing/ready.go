package standing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Readiness says whether a topic could move to another cluster now, as far as can be told without a
// move: of the records that a move compares, the last ones were compared, and a mirror that takes
// no produces is found out by a move alone.
type Readiness struct {
	Topic, From, To string
	// Planned is false while the home does not answer: what the copy lacks would be lost.
	Planned bool
	// BlockedBy is the kind of what would refuse the move, and Reason says it; "" if nothing would.
	BlockedBy block.Kind
	Reason    string
}

// readiness is what the last rounds have found, by virtual cluster.
type readiness struct {
	mu    sync.Mutex
	found map[string][]Readiness
	busy  map[string]bool  // a round is made
	looks map[string]*look // for what seldom changes
}

// Readiness is how the topics of a virtual cluster stand, each towards each other cluster, as of
// the last round: rounds are made every 10 s, and end when copies that lag have had
// failover.max_drain to catch up.
func (w *Watch) Readiness(virtualCluster string) []Readiness {
	w.ready.mu.Lock()
	defer w.ready.mu.Unlock()
	return w.ready.found[virtualCluster]
}

// forget leaves out the virtual clusters that are gone.
func (s *readiness) forget(envs map[string]Env) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for vc := range s.found {
		if _, ok := envs[vc]; !ok {
			delete(s.found, vc)
			delete(s.looks, vc)
		}
	}
}

// begin reports that no round is made for a virtual cluster, and begins one.
func (s *readiness) begin(vc string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == nil {
		s.found, s.busy, s.looks = map[string][]Readiness{}, map[string]bool{}, map[string]*look{}
	}
	if s.busy[vc] {
		return false
	}
	s.busy[vc] = true
	return true
}

func (s *readiness) end(vc string, found []Readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[vc] = false
	if found != nil {
		s.found[vc] = found
	}
}

// judge begins a round, from what the clusters said of their topics' ends at a time. It does not
// wait.
func (w *Watch) judge(e Env, topics []*catalog.Topic, all copies.Extents, at time.Time) {
	if e.Placement == nil || len(e.Clusters) < 2 || !w.ready.begin(e.VirtualCluster) {
		return
	}
	w.wg.Go(func() {
		var found []Readiness
		defer func() { w.ready.end(e.VirtualCluster, found) }()
		seen := w.look(e, topics)
		late := w.late(e, topics, all, at)
		if w.ctx.Err() != nil {
			return
		}
		found = []Readiness{}
		for _, t := range topics {
			if !e.Placement.Home(t.Name).Shown {
				continue
			}
			for _, c := range e.Clusters {
				if c.Name() != t.Home {
					found = append(found, w.towards(e, t, c, all, seen, late))
				}
			}
		}
	})
}

// towards judges a move of a topic to a cluster.
func (w *Watch) towards(e Env, t *catalog.Topic, to plugin.Cluster, all copies.Extents, seen *look, late map[copyOf]int64) Readiness {
	out := Readiness{Topic: t.Name, From: t.Home, To: to.Name(), Planned: true}
	err := func() error {
		from := e.cluster(t.Home)
		if from == nil {
			return block.Because(block.ByCluster, errors.New("its home is not a cluster of this virtual cluster"))
		}
		if err := block.SignsOfLife(from); err != nil {
			return err
		}
		out.Planned = from.Reachable()
		if !to.Reachable() {
			return fmt.Errorf("%s: %w", to.Name(), plugin.ErrUnreachable)
		}
		copied, err := copies.NewSide(to, t.Physical(to.Name()))
		if err != nil {
			return block.Because(block.ByCopy, err)
		}
		own := len(t.Partitions)
		if at := from.Topology().Topics[t.Physical(t.Home)]; out.Planned && at != nil {
			own = len(at.Partitions)
		}
		if n := len(copied.Topic.Partitions); n != own {
			return block.Because(block.BySettings, fmt.Errorf("the topic has %d partitions, but %d on %s", own, n, to.Name()))
		}
		if !out.Planned {
			switch e.Placement.Home(t.Name).Unplanned {
			case "never":
				return block.Never(from)
			case "always":
				return nil
			}
			return block.Because(block.ByCopy, copies.Untrusted(t, copied, all[to.Name()].Ends[copied.Name]))
		}
		if err := seen.of(t, to.Name()); err != nil {
			return err
		}
		last := w.compared.of(e.VirtualCluster, t, to.Name())
		switch {
		case last.at.IsZero():
			return block.Because(block.ByCopy, errors.New("its records were not compared yet"))
		case last.err != "":
			return block.As(last.by, errors.New(last.err))
		}
		if n := late[copyOf{t.Name, to.Name()}]; n > 0 {
			return fmt.Errorf("%w: %d records behind after %s", block.ErrLag, n, w.timing().MaxDrain)
		}
		return nil
	}()
	if err != nil {
		out.BlockedBy, out.Reason = block.Of(err), err.Error()
	}
	return out
}

// copyOf is a topic and the cluster of a copy of it.
type copyOf struct{ topic, cluster string }

// late are the copies that did not get within failover.max_drain to where their home ended at a
// time, and how many records they lacked then: a move waits as long.
func (w *Watch) late(e Env, topics []*catalog.Topic, all copies.Extents, at time.Time) map[copyOf]int64 {
	lags := func(t *catalog.Topic, cluster string, ends []int64) (n int64) {
		for p, home := range all[t.Home].Ends[t.Physical(t.Home)] {
			if p < len(t.Partitions) && p < len(ends) {
				lacks, _ := lag(&t.Partitions[p], cluster, home, ends[p])
				n += lacks
			}
		}
		return n
	}
	behind := map[plugin.Cluster][]*catalog.Topic{}
	for _, t := range topics {
		for _, c := range e.Clusters {
			if c.Name() != t.Home && lags(t, c.Name(), all[c.Name()].Ends[t.Physical(c.Name())]) > 0 {
				behind[c] = append(behind[c], t)
			}
		}
	}
	out := map[copyOf]int64{}
	if len(behind) == 0 || !guard.Sleep(w.ctx, time.Until(at.Add(w.timing().MaxDrain))) {
		return out
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	for c, list := range behind {
		var names []string
		for _, t := range list {
			names = append(names, t.Physical(c.Name()))
		}
		ends := copies.AllEnds(ctx, joint.Alone(c), names)
		for _, t := range list {
			now := ends[t.Physical(c.Name())]
			if len(now) == 0 || slices.Contains(now, -1) { // it has not caught up as far as can be told
				now = all[c.Name()].Ends[t.Physical(c.Name())]
			}
			if n := lags(t, c.Name(), now); n > 0 {
				out[copyOf{t.Name, c.Name()}] = n
			}
		}
	}
	return out
}
