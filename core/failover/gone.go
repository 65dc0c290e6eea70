package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// askLimit is how long the old home has to say that it lives.
const askLimit = 2 * time.Second

// gone decides whether the old home is gone, so that the move is an unplanned one: no broker of it
// has answered for a time that began with the edit. A home that has answered since is waited for.
func (t *task) gone(ctx context.Context, from plugin.Cluster) (bool, error) {
	if from.Reachable() {
		return false, t.ask(ctx, from)
	}
	if err := t.signs(from); err != nil {
		return false, err
	}
	switch t.policy() {
	case "never":
		return false, block.Never(from)
	case "always":
		return true, nil
	}
	began, limit := time.Now(), t.runner.timing().Unreachable
	for !t.answered {
		if time.Since(t.edited) >= limit && time.Since(t.alive) >= limit {
			return true, nil
		}
		if !guard.Sleep(ctx, 100*time.Millisecond) {
			return false, ctx.Err()
		}
		if from.Reachable() {
			return false, t.ask(ctx, from)
		}
		// Brokers that end may give one just before.
		if err := t.signs(from); err != nil && time.Since(began) >= limit {
			return false, err
		}
	}
	return false, block.Because(block.ByCluster, fmt.Errorf("%s is unreachable, but has answered since the edit: to give it up, edit the topic's rule again, repeat the call, or use `failover run --unplanned`", from.Name()))
}

// signs is an error while the old home is not known to be gone. Only who says so for this move
// gives up such a home.
func (t *task) signs(from plugin.Cluster) error {
	if t.order.Unplanned {
		return nil
	}
	err := block.SignsOfLife(from)
	if err != nil {
		t.alive = time.Now()
	}
	return err
}

// policy is what to do when the old home is unreachable.
func (t *task) policy() string {
	if t.order.Unplanned {
		return "always"
	}
	return t.part.unplanned()
}

// ask makes sure that the old home lives.
func (t *task) ask(ctx context.Context, from plugin.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err := t.part.lives(ctx, from); err != nil {
		return err
	}
	t.answered = true
	return nil
}

func (t *topicMove) lives(ctx context.Context, from plugin.Cluster) error {
	topic, err := t.topic()
	if err != nil {
		return err
	}
	if err := joint.Refresh(ctx, from, topic.Physical(from.Name())); err != nil {
		return fmt.Errorf("%s: %w", from.Name(), err)
	}
	return nil
}

// checkGone is the pre-check when the old home can't be asked: the stored distance of the copy is
// all there is.
func (t *topicMove) checkGone(ctx context.Context) (*checked, error) {
	topic, err := t.topic()
	if err != nil {
		return nil, err
	}
	_, to, err := t.clusters()
	if err != nil {
		return nil, err
	}
	if err := joint.Refresh(ctx, to, topic.Physical(to.Name())); err != nil {
		return nil, err
	}
	c := &checked{topic: topic, unknown: make([]bool, len(topic.Partitions))}
	if c.Copy, err = copies.NewSide(to, topic.Physical(to.Name())); err != nil {
		return nil, block.Because(block.ByCopy, err)
	}
	if a, b := len(topic.Partitions), len(c.Copy.Topic.Partitions); a != b {
		return nil, block.Because(block.ByCopy, fmt.Errorf("the topic has %d partitions, but %d on %s", a, b, to.Name()))
	}
	if err := c.Copy.Accepts(ctx, true); err != nil {
		return nil, block.Because(block.ByRights, err)
	}
	ends, err := c.Copy.Ends(ctx)
	if err != nil {
		return nil, err
	}
	if t.policy() != "always" {
		if err := copies.Untrusted(topic, c.Copy, ends); err != nil {
			return nil, block.Because(block.ByCopy, err)
		}
	}
	id, compared := topic.Copies[to.Name()]
	again := compared && id != c.Copy.Topic.ID
	c.drifts = make([]*drift, len(topic.Partitions))
	for p := range topic.Partitions {
		if known, ok := c.died(p); ok {
			t.passOver(c, p, known, ends[p])
			continue
		}
		if known := topic.Partitions[p].Copies[to.Name()]; known.Follows() && !known.Died && !again {
			c.drifts[p] = &drift{there: known.Distance, copied: known.Distance.ToPhysical(known.To)}
		}
		d, ok := topic.Partitions[p].Delta(to.Name())
		if !ok || again {
			d = 0
			c.unknown[p] = true
			t.change(func(r *Report) {
				r.Notes = append(r.Notes, fmt.Sprintf("partition %d: distance of the copy unknown, taken as 0", p))
			})
		}
		c.deltas = append(c.deltas, d)
	}
	return c, nil
}
