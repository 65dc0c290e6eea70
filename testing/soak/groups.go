package soak

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
)

// reader names a consumer without a group.
func reader(i int) string { return fmt.Sprintf("reader%d", i) }

// group names a group of consumers: one that no other schedule on the same clusters has.
func (w *world) group(i int) string { return fmt.Sprintf("group%d-%d", i, w.plan.Seed) }

// join lets member i come to a group. Nothing tells members apart, their client ids neither.
func (w *world) join(g, i int) {
	name, kind := w.group(g), w.plan.Groups[g].Kind
	ctx, cancel := context.WithCancel(w.consuming)
	gone := make(chan struct{})
	w.members[name] = append(w.members[name], func() {
		cancel()
		<-gone
	})
	if w.plan.Kills() { // a gateway that ends takes with it what it knew of members on their way to a new home
		for _, r := range w.of {
			r.MayRepeat(name)
		}
	}
	w.consumers.Go(func() {
		defer close(gone)
		if err := w.spread(w.plan.Topics...).Consume(ctx, name, kind, i); err != nil {
			w.of[w.plan.Topics[0].Name].Error(name, "%v", err)
		}
	})
}

// change lets the eldest member of each group leave, and another one come.
func (w *world) change(ctx context.Context, s Step) error {
	for g, x := range w.plan.Groups {
		name := w.group(g)
		leave := w.members[name][0]
		w.members[name] = w.members[name][1:]
		leave()
		w.joined[g]++
		w.join(g, (w.joined[g]-1)%x.Members) // that of the one who has left
	}
	return w.kill(ctx, s)
}

// lives is where a group lives; "": nowhere yet.
func (w *world) lives(group string) string {
	if g := w.gw.Group(virtualCluster, group); g != nil {
		return g.Home
	}
	return ""
}

// moveGroups moves all groups to the other cluster, by rules of their own, while their topics stay
// where they are.
func (w *world) moveGroups(ctx context.Context, s Step) error {
	for g := range w.plan.Groups {
		name := w.group(g)
		if err := w.until(ctx, "group "+name+" to be known", func() bool { return w.lives(name) != "" }); err != nil {
			return err
		}
		if err := w.moveGroup(ctx, s, name, other(w.lives(name))); err != nil {
			return err
		}
	}
	return nil
}

// moveGroup moves a group to a cluster.
func (w *world) moveGroup(ctx context.Context, s Step, name, to string) error {
	if err := w.call(ctx, "POST", "/failover/run", fmt.Sprintf(`{"groups": [%q], "to": %q}`, name, to), 202); err != nil {
		return err
	}
	if err := w.kill(ctx, s); err != nil {
		return err
	}
	w.moves++
	return w.until(ctx, "group "+name+" on "+to, func() bool { return w.lives(name) == to })
}

// takeover kills the home of all groups, on which no topic lives, and waits until they have another
// one; then it comes back.
func (w *world) takeover(ctx context.Context, s Step) error {
	home := w.home[w.plan.Topics[0].Name]
	dies := other(home)
	var there []Topic
	for _, t := range w.plan.Topics {
		if w.home[t.Name] != home {
			there = append(there, t)
		}
	}
	if len(there) > 0 {
		if err := w.moveTopics(ctx, Step{Kind: "at once"}, there); err != nil {
			return err
		}
	}
	for g := range w.plan.Groups {
		name := w.group(g)
		if err := w.until(ctx, "group "+name+" to be known", func() bool { return w.lives(name) != "" }); err != nil {
			return err
		}
		if w.lives(name) != dies {
			if err := w.moveGroup(ctx, Step{}, name, dies); err != nil {
				return err
			}
		}
		if err := w.until(ctx, name+" to be mirrored on "+home, func() bool { return w.gw.Group(virtualCluster, name).MirroredOn(home) }); err != nil {
			return err
		}
	}
	at := map[string]map[int32]int64{}
	for _, t := range w.plan.Topics {
		w.copiers[t.Name].Stop()
		at[t.Name] = w.copiers[t.Name].Position()[t.Name]
	}
	if err := w.killCluster(dies); err != nil {
		return err
	}
	if err := w.kill(ctx, s); err != nil {
		return err
	}
	for g := range w.plan.Groups {
		name := w.group(g)
		if err := w.until(ctx, "another home of "+name, func() bool { return w.lives(name) == home }); err != nil {
			return err
		}
		w.moves++
	}
	want := w.acked() + tail
	if err := w.until(ctx, "records meanwhile", func() bool { return w.acked() >= want }); err != nil {
		return err
	}
	if err := w.wake(ctx, dies); err != nil {
		return err
	}
	for _, t := range w.plan.Topics {
		if err := w.copy(ctx, t, home, at[t.Name]); err != nil {
			return err
		}
	}
	return nil
}

// slow is a group that has read nothing yet, so that a copy must hold everything.
func (w *world) slow(ctx context.Context, t Topic) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(w.gw.Bootstrap))
	if err != nil {
		return err
	}
	defer c.Close()
	at := kadm.Offsets{}
	for p := range t.Ahead {
		at.AddOffset(t.Name, int32(p), 0, -1)
	}
	return kadm.NewClient(c).CommitAllOffsets(ctx, "slow-"+t.Name, at)
}

// refused asks for the move of a topic whose copy is not exact, and takes that back when it has
// been refused.
func (w *world) refused(ctx context.Context, s Step, t Topic) error {
	home := w.home[t.Name]
	last := func() (m failover.Report) {
		for _, x := range w.gw.Moves() {
			if x.Topic == t.Name {
				m = x
			}
		}
		return m
	}
	if err := w.until(ctx, t.Name+" to be copied badly", w.copiers[t.Name].Spoiled); err != nil {
		return err
	}
	if err := w.slow(ctx, t); err != nil {
		return err
	}
	if err := w.act(ctx, "edit", []Topic{t}); err != nil {
		return err
	}
	if err := w.kill(ctx, s); err != nil {
		return err
	}
	if err := w.until(ctx, "a refusal of "+t.Name, func() bool { return last().Phase == failover.Pending && last().Error != "" }); err != nil {
		return err
	}
	w.home[t.Name] = other(home) // as the file says
	err := w.act(ctx, "edit", []Topic{t})
	w.home[t.Name] = home
	if err != nil {
		return err
	}
	return w.until(ctx, t.Name+" to stay on "+home, func() bool { return last().Phase == failover.Dropped })
}
