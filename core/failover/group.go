package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/mirror"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/positions"
)

// groupOf is a consumer group of a virtual cluster.
type groupOf struct {
	env  Env
	name string
	to   string // where it goes, whatever the rules say; "": where they say
}

func (g groupOf) what() Movable { return Movable{Group, g.name} }

func (g groupOf) home() (cluster string, ok bool) {
	known := g.env.Catalog.Group(g.name)
	if known == nil {
		return "", false
	}
	return known.Home, true
}

// wanted is where the rules put it. While the cluster that they name is the one that it was taken
// from, and that is still gone, it stays where it is.
func (g groupOf) wanted() string {
	if g.to != "" {
		return g.to
	}
	to := g.env.Placement.GroupHome(g.name)
	if known := g.env.Catalog.Group(g.name); known != nil && known.Taken && to != known.Home {
		if c := g.env.Cluster(to); c == nil || !c.Reachable() {
			return known.Home
		}
	}
	return to
}

// tell has nothing to do: clients find out where a group lives when they ask.
func (g groupOf) tell(context.Context) error { return nil }

func (g groupOf) attempt(k *task) participant { return &groupMove{task: k, name: g.name} }

// groupMove takes part in an attempt to move a consumer group.
type groupMove struct {
	*task
	name string
	gone bool
	next *catalog.Group
}

func (g *groupMove) group() *groups.Group { return g.env.Groups.Group(g.name) }

func (g *groupMove) known() (*catalog.Group, error) {
	if known := g.env.Catalog.Group(g.name); known != nil {
		return known, nil
	}
	return nil, errGone(Movable{Group, g.name})
}

// mirrored is what positions are given to clusters with.
func (g *groupMove) mirrored() mirror.Env {
	stubs, _ := g.env.Placement.(plugin.Stubber)
	return mirror.Env{VirtualCluster: g.env.VirtualCluster, Groups: g.env.Groups, Catalog: g.env.Catalog, Clusters: g.env.Clusters, Stubs: stubs}
}

func (g *groupMove) unplanned() string {
	if g.taken {
		return "always"
	}
	return "if-unreachable"
}

// lives asks the old home who coordinates the group.
func (g *groupMove) lives(ctx context.Context, from plugin.Cluster) error {
	if _, err := from.Coordinator(ctx, kafka.GroupCoordinator, g.env.Groups.Physical(g.name)); err != nil {
		return fmt.Errorf("%s: %w", from.Name(), err)
	}
	return nil
}

// check gives the new home what it lacks, as far as that is known without holding anybody.
func (g *groupMove) check(ctx context.Context, gone bool) error {
	g.gone = gone
	known, err := g.known()
	if err != nil {
		return err
	}
	from, to, err := g.clusters()
	if err != nil {
		return err
	}
	if at := g.group().InTransactions(); at != "" && at != to.Name() && !g.order.Unplanned {
		return block.As(block.ByTransactions, fmt.Errorf("its positions are committed in transactions that live on %s: they would be refused. Transactions can't move yet", at))
	}
	if gone {
		if !known.MirroredOn(to.Name()) && !g.order.Unplanned {
			return block.As(block.ByCopy, fmt.Errorf("%s was never given all positions of the group: its members would begin anew. To move it all the same, use `failover run --unplanned`", to.Name()))
		}
		return nil
	}
	done, ok := g.group().Give()
	if !ok {
		return block.Because(block.ByGroup, errors.New("another move holds the group"))
	}
	defer done()
	return g.bring(ctx, from, to)
}

// bring makes the new home's positions those that the old home has now.
func (g *groupMove) bring(ctx context.Context, from, to plugin.Cluster) error {
	env, group := g.mirrored(), g.group()
	if err := mirror.Read(ctx, env, from, group); err != nil {
		if errors.Is(err, positions.ErrUnstable) {
			return block.As(block.ByTransactions, err)
		}
		return err
	}
	if err := g.members(ctx, to); err != nil {
		return err
	}
	seq := group.Seq()
	has, err := positions.Of(ctx, to, env.Groups.Physical(g.name))
	if err != nil {
		return fmt.Errorf("%s: %w", to.Name(), err)
	}
	group.Has(to.Name(), seq, mirror.VirtualPositions(env, to.Name(), has))
	if err := mirror.Give(ctx, env, to, group); err != nil {
		return block.Because(block.ByCopy, err)
	}
	g.change(func(r *Report) { r.Positions = len(group.Positions()) })
	return nil
}

// members refuses a new home where the group has members already: somebody uses it past the
// gateway.
func (g *groupMove) members(ctx context.Context, to plugin.Cluster) error {
	all, err := positions.MembersOf(ctx, to, g.env.Groups.Physical(g.name))
	if err != nil {
		return fmt.Errorf("%s: %w", to.Name(), err)
	}
	if n := all.Count(); n > 0 {
		return block.As(block.ByClients, fmt.Errorf("the group has %d members on %s that did not come through this gateway, or have not left it since its last move", n, to.Name()))
	}
	return nil
}

func (g *groupMove) calm(context.Context) error { return nil }

// hold lets requests of the group wait, and waits for what changes positions at the old home.
func (g *groupMove) hold(ctx context.Context) error {
	group := g.group()
	group.Hold("move " + g.report.ID)
	g.env.Gates.Announce() // fetches of members that wait for records are answered
	limit := time.NewTimer(answersFirst)
	defer limit.Stop()
	select {
	case <-group.Idle(g.gone): // what is on its way to a home that is gone is sent again
		return nil
	case <-limit.C:
	case <-ctx.Done():
	}
	return block.Because(block.ByClients, fmt.Errorf("commits on their way to %s, or positions to %s, were not answered in time", g.report.From, g.report.To))
}

// prepare gives the new home the last positions.
func (g *groupMove) prepare(ctx context.Context) error {
	known, err := g.known()
	if err != nil {
		return err
	}
	from, to, err := g.clusters()
	if err != nil {
		return err
	}
	if g.gone {
		if n, late := g.group().News(to.Name()); late {
			g.change(func(r *Report) { r.Behind = time.Since(n.Since).Milliseconds() })
			if err := mirror.Give(ctx, g.mirrored(), to, g.group()); err != nil {
				return err
			}
		}
		g.change(func(r *Report) { r.Positions = len(g.group().Positions()) })
	} else if err := g.bring(ctx, from, to); err != nil {
		return err
	}
	g.next = known.Moved(to.Name(), time.Now(), g.gone && g.env.Placement.GroupHome(g.name) != to.Name())
	return nil
}

func (g *groupMove) topics() []string { return nil }

func (g *groupMove) commit([]*catalog.Topic) ([]catalog.Entry, error) {
	e, err := g.env.Catalog.GroupEntry(g.next)
	return []catalog.Entry{e}, err
}

func (g *groupMove) committed() {
	group := g.group()
	if g.gone { // it may come back with older ones
		group.Lost(g.report.From)
	} else {
		group.Given(g.report.From, groups.News{Seq: group.Seq()})
	}
	group.Moved()
}

func (g *groupMove) release() { g.group().Release() }

func (g *groupMove) drain(context.Context, time.Time) {}

func (g *groupMove) open() {}

// dismissLimit is how long the old home has to let the members of a group go.
const dismissLimit = 10 * time.Second

// publish lets the old home forget the members, so that it takes positions of the group again.
func (g *groupMove) publish(ctx context.Context) error {
	g.env.Gates.Announce()
	from, _, err := g.clusters()
	if err != nil || g.gone {
		return nil
	}
	g.runner.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, dismissLimit)
		defer cancel()
		for wait := 100 * time.Millisecond; ; wait *= 2 { // one may have joined meanwhile
			n, err := positions.Dismiss(ctx, from, g.env.Groups.Physical(g.name))
			if err == nil && n == 0 {
				return
			}
			if !guard.Sleep(ctx, wait) {
				g.runner.log.DebugContext(g.trace, "members not dismissed", "group", g.name, "cluster", from.Name(), "error", err)
				return
			}
		}
	})
	return nil
}
