package failover

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// answersFirst is how long the first hold of a move waits for answers of produces on their way.
const answersFirst = 3 * time.Second

// topicOf is a topic of a virtual cluster.
type topicOf struct {
	runner *Runner
	env    Env
	name   string
}

func (t topicOf) what() Movable { return Movable{Topic, t.name} }

func (t topicOf) home() (cluster string, ok bool) {
	topic := t.env.Catalog.Topic(t.name)
	if topic == nil {
		return "", false
	}
	return topic.Home, true
}

func (t topicOf) wanted() string { return t.env.Placement.Home(t.name).Cluster }

func (t topicOf) tell(ctx context.Context) error {
	if topic := t.env.Catalog.Topic(t.name); topic == nil || topic.Before == nil {
		return nil
	}
	if err := publish(ctx, t.env.Catalog, t.name); err != nil {
		return err
	}
	t.env.Gates.Announce()
	return nil
}

func (t topicOf) attempt(k *task) participant {
	return &topicMove{task: k, name: t.name}
}

// topicMove takes part in an attempt to move a topic.
type topicMove struct {
	*task
	name string
	// found is what the pre-check found out.
	found *checked
	// advance makes the topic what it will be, once prepared. It is called with the commit, on the
	// topic as it is then: ceilings, for one, rise while clients are held.
	advance func(*catalog.Topic) error
	copies  *catalog.Copies // what an old home that is gone may have left of batches on their way
}

// topic is the topic as it is now.
func (t *topicMove) topic() (*catalog.Topic, error) {
	if topic := t.env.Catalog.Topic(t.name); topic != nil {
		return topic, nil
	}
	return nil, errGone(Movable{Topic, t.name})
}

func (t *topicMove) gate() *gate.Gate { return t.env.Gates.Gate(t.name) }

func (t *topicMove) unplanned() string { return t.env.Placement.Home(t.name).Unplanned }

func (t *topicMove) hold(ctx context.Context) error {
	g := t.gate()
	g.Hold(holder{t.move})
	g.HoldReads()
	if t.found.Home == nil {
		if b, ok := t.env.Cluster(t.report.From).(plugin.LinkBreaker); ok {
			b.BreakLinks() // what waits there is judged again at the gate
		}
	}
	if err := t.answers(ctx, g); err != nil {
		return err
	}
	return t.fence(ctx)
}

// answers waits for the answers of what is on its way to the old home. A client whose produce gets
// none keeps everybody waiting in vain: it is waited for only a little at first, and twice as long
// in each later attempt.
func (t *topicMove) answers(ctx context.Context, g *gate.Gate) error {
	limit := time.NewTimer(answersFirst << t.unanswered)
	defer limit.Stop()
	select {
	case <-g.Idle():
		return nil
	case <-limit.C:
		t.unanswered = min(t.unanswered+1, 8)
	case <-ctx.Done():
	}
	n, client, since := g.InFlight()
	t.runner.log.DebugContext(t.trace, "produces in flight", "topic", t.name, "number", n, "client", client, "since", since)
	return block.Because(block.ByClients, fmt.Errorf("produces in flight to %s were not answered in time, the oldest one of client %q", t.report.From, client))
}

func (t *topicMove) release() { t.gate().Release(holder{t.move}) }

func (t *topicMove) open() { t.gate().OpenReads() }

func (t *topicMove) drain(ctx context.Context, until time.Time) {
	left := time.NewTimer(time.Until(until))
	defer left.Stop()
	select {
	case <-t.gate().Drained():
	case <-left.C:
		t.gate().Refuse() // what is still open is refused together
	case <-ctx.Done():
	}
}

func (t *topicMove) topics() []string { return []string{t.name} }

// commit gives the topic its new generation and lineage. The memory of its producers is written
// with it.
func (t *topicMove) commit(topics []*catalog.Topic) ([]catalog.Entry, error) {
	if err := t.advance(topics[0]); err != nil {
		return nil, err
	}
	memory, err := json.Marshal(topics[0].Memory().Snapshot())
	if err != nil {
		return nil, err
	}
	return []catalog.Entry{{Kind: catalog.KindMemory, Key: t.report.VirtualCluster + "\x00" + t.name, Value: memory}}, nil
}

func (t *topicMove) committed() {
	if topic := t.env.Catalog.Topic(t.name); topic != nil {
		topic.Memory().Turn()
		topic.Memory().Copied(t.copies)
	}
}

// publish tells clients: from now on metadata, hints and fetches name the new home.
func (t *topicMove) publish(ctx context.Context) error {
	_, err := t.runner.publishes.Do(ctx, t.env.Catalog, t.name, func(round []*joint.Ask[string, struct{}]) {
		var names []string
		for _, a := range round {
			names = append(names, a.Question)
		}
		if publish(ctx, t.env.Catalog, names...) != nil {
			for i, a := range round { // one may have kept the others from being written
				a.Err = publish(ctx, t.env.Catalog, names[i])
			}
		}
		if g := t.env.Groups; g != nil {
			for _, name := range names {
				g.TopicMoved(name)
			}
		}
		t.env.Gates.Announce()
	})
	return err
}

func publish(ctx context.Context, cat *catalog.Virtual, topics ...string) error {
	return cat.UpdateAll(ctx, topics, func(all []*catalog.Topic) ([]catalog.Entry, error) {
		for _, n := range all {
			n.Published, n.Before = n.Generation, nil
		}
		return nil, nil
	})
}
