package failover

import (
	"context"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// order is what a start of the gateway must know of an edit whose move has not ended: the rules
// alone don't say when the edit was made, and how.
type order struct {
	Move string `json:"move"` // id
	From string `json:"from"`
	To   string `json:"to"`
	By   string `json:"by,omitempty"`
	// Unplanned says that whoever asked has given up the old home.
	Unplanned bool `json:"unplanned,omitempty"`
	// Together names what commits in one write with it, "" is nothing.
	Together string `json:"together,omitempty"`
	// Answered says that the old home has lived since the edit.
	Answered bool `json:"answered,omitempty"`
}

func orderKey(vc string, what Movable) catalog.Key {
	return catalog.Key{Kind: catalog.KindEdit, Key: vc + "\x00" + string(what.Kind) + "\x00" + what.Name}
}

// ordered is the order behind the move that something needs now, given in an earlier run of the
// gateway; ok is false if there is none.
func (r *Runner) ordered(vc string, x movable) (o order, ok bool) {
	key := orderKey(vc, x.what())
	if has, err := r.catalog.Value(key.Kind, key.Key, &o); !has || err != nil {
		return order{}, false
	}
	home, _ := x.home()
	return o, o.From == home && o.To == x.wanted()
}

// remember stores the orders of moves. Those that could not be stored run all the same. A move
// does not run meanwhile, or it is its own run that asks: nobody else touches its order.
func (r *Runner) remember(ctx context.Context, moves ...*move) {
	given := map[catalog.Key]any{}
	for _, m := range moves {
		if m.order.Move != "" {
			given[orderKey(m.report.VirtualCluster, m.report.What())] = m.order
		}
	}
	if err := r.catalog.SetAll(ctx, given); err != nil {
		r.log.Warn("what asks for moves is not known to the next start of the gateway", "error", err)
	}
}

// fulfilled adds to what is written with the report of a move that has ended that nothing is left
// of its order.
func (r *Runner) fulfilled(rep Report, all map[catalog.Key]any) {
	key, o := orderKey(rep.VirtualCluster, rep.What()), order{}
	if has, err := r.catalog.Value(key.Kind, key.Key, &o); has && err == nil && o.Move == rep.ID {
		all[key] = nil
	}
}

// waits notes that a move with an order waits although its old home lives: when that dies
// afterwards, it is not given up.
func (r *Runner) waits(m *move) {
	if m.order.Move == "" || m.order.Answered || !m.answered {
		return
	}
	m.order.Answered = true
	r.remember(r.ctx, m)
}
