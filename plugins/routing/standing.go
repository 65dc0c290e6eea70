package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// stands notes a transactional id that its home has given a producer: the state of its transactions
// is there, and can't move.
func (r *Routing) stands(ctx context.Context, id, home string, resp *plugin.Response) {
	if len(r.env.Clusters) == 1 || resp == nil {
		return
	}
	out, err := resp.Body.Peek()
	if err != nil || kafka.Code(out.(*kmsg.InitProducerIDResponse).ErrorCode) != 0 {
		return
	}
	if err := r.env.Catalog.NoteTransactional(ctx, id, home); err != nil {
		r.log.WarnContext(ctx, "transactional id not noted", "error", err)
	}
}

// strands says which producers an edit of the rules would take the state of their transactions
// away, while that is to be had.
func (r *Routing) strands(section config.Section) (errs config.Errors) {
	left := map[string][]string{}
	for id, home := range r.env.Catalog.Transactional() {
		c := r.env.Cluster(home)
		if to := r.rules.transaction(id); to != home && c != nil && c.Reachable() && !r.env.Starting {
			left[home] = append(left[home], id)
		}
	}
	for _, home := range sortedKeys(left) {
		slices.Sort(left[home])
		at := []string{"transactions"}
		if glob, ok := match(r.rules.txns, left[home][0]); ok {
			at = append(at, glob)
		}
		errs = append(errs, section.Errorf(at, "%d transactional producers have the state of their transactions on cluster %q, such as %q, and transactions can't move: they would be refused. Leave the rule as it is until they have ended for 7 days (transactional.id.expiration.ms), or give their successors other transactional ids", len(left[home]), home, left[home][0]))
	}
	return errs
}
