package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// tail is how many records are acknowledged, over all topics, that the dying home does not hand on.
const tail = 40

// die kills the home of a topic, with records that were not copied, moves all topics that live
// there, and lets it come back when producers have gone on: it is a copy again.
func (w *world) die(ctx context.Context, s Step, first Topic) error {
	w.died = true
	home, topics := w.home[first.Name], []Topic{}
	for _, t := range w.plan.Topics {
		if w.home[t.Name] == home {
			topics = append(topics, t)
		}
	}
	to, stood := other(home), map[string]map[int32]int64{}
	if err := w.until(ctx, "all copies to be known", func() bool { return w.known(topics, to) }); err != nil {
		return err
	}
	for _, t := range topics {
		w.copiers[t.Name].Stop()
		stood[t.Name] = w.copiers[t.Name].Position()[t.Name]
	}
	if err := w.until(ctx, "all that was copied to be compared", func() bool { return w.compared(ctx, topics, to, stood) }); err != nil {
		return err
	}
	want := w.acked() + tail
	if err := w.until(ctx, "records that are not copied", func() bool { return w.acked() >= want }); err != nil {
		return err
	}
	if err := w.killCluster(home); err != nil {
		return err
	}
	if err := w.give(ctx, s, topics, to); err != nil {
		return err
	}
	want = w.acked() + tail
	if err := w.until(ctx, "records on the new home", func() bool { return w.acked() >= want }); err != nil {
		return err
	}
	if err := w.wake(ctx, home); err != nil {
		return err
	}
	return w.turnAll(ctx, topics)
}

func (w *world) killCluster(name string) error { return kafkatest.KillAll(w.clusters[name]) }

// wake brings a cluster back.
func (w *world) wake(ctx context.Context, name string) error {
	for _, n := range w.clusters[name].Nodes() {
		if err := w.clusters[name].Restart(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// known reports that copies of topics were compared: before, a home is not given up.
func (w *world) known(topics []Topic, to string) bool {
	for _, t := range topics {
		topic := w.gw.Topic(virtualCluster, t.Name)
		if topic == nil || len(topic.Partitions) < len(t.Ahead) {
			return false
		}
		for p := range topic.Partitions {
			if _, ok := topic.Partitions[p].Delta(to); !ok {
				return false
			}
		}
	}
	return true
}

// compared reports that all that replicators have copied of topics, up to where they stood, was
// compared: what was not is taken to be what comes next when the home dies.
func (w *world) compared(ctx context.Context, topics []Topic, to string, stood map[string]map[int32]int64) bool {
	for _, t := range topics {
		ends, err := kafkatest.Ends(ctx, w.clusters[to].Bootstrap(), t.Name)
		topic := w.gw.Topic(virtualCluster, t.Name)
		if err != nil || topic == nil {
			return false
		}
		for p, at := range stood[t.Name] {
			part := topic.Partition(p)
			known, ok := part.Copies[to]
			if known.Follows() && part.ToPhysical(known.To) >= at && !known.Died {
				continue
			}
			reached := part.ToPhysical(known.Distance.ToVirtual(ends[t.Name][p]))
			marker := Replicators[t.Replicator].Transactions && reached == at+1 // of the last one
			if !ok || known.Follows() || reached != at && !marker {
				return false
			}
		}
	}
	return true
}

// give moves topics whose home is gone, and takes note of what is reported as lost.
func (w *world) give(ctx context.Context, s Step, topics []Topic, to string) error {
	var names []string
	for _, t := range topics {
		names = append(names, fmt.Sprintf("%q", t.Name))
	}
	body := fmt.Sprintf(`{"topics": [%s], "to": %q, "unplanned": true}`, strings.Join(names, ", "), to)
	if err := w.call(ctx, "POST", "/failover/run", body, 202); err != nil {
		return err
	}
	if err := w.kill(ctx, s); err != nil {
		return err
	}
	for _, t := range topics {
		if err := w.until(ctx, t.Name+" on "+to+", without its home", func() bool { return w.at(t.Name, to) }); err != nil {
			return err
		}
		w.home[t.Name] = to
		w.moves++
		for _, m := range w.gw.Moves() {
			if m.Topic != t.Name || m.Planned || m.To != to {
				continue
			}
			for _, r := range m.PossibleLoss {
				w.lost += w.of[t.Name].Lose(r.Partition, r.From, r.To)
			}
		}
	}
	return nil
}

// turnAll lets replicators bring what came since to a home that has died: from the cut on, or from
// further in front, as they do that have not noted how far they were.
func (w *world) turnAll(ctx context.Context, topics []Topic) error {
	r := rand.New(rand.NewPCG(w.plan.Seed, 0x52))
	for _, t := range topics {
		start, back := map[int32]int64{}, int64(0)
		if r.IntN(2) == 0 {
			back = int64(r.IntN(100))
		}
		for p := range t.Ahead {
			start[int32(p)] = max(w.gw.Topic(virtualCluster, t.Name).Partition(int32(p)).Current().PhysicalStart-back, 0)
		}
		if err := w.copy(ctx, t, w.home[t.Name], start); err != nil {
			return err
		}
	}
	return nil
}
