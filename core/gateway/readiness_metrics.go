package gateway

import (
	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/standing"
)

// Reasons of sluice_failover_topics besides the kinds of what blocks a move.
const (
	readyNow       = "ready"
	readyUnplanned = "unplanned"
)

// reasons are all of them: each has a series, so that one that is over is seen to be so where
// series don't go stale at once.
var reasons = append([]string{readyNow, readyUnplanned}, func() (out []string) {
	for _, b := range block.Judged {
		out = append(out, string(b))
	}
	return out
}()...)

func reasonOf(r standing.Readiness) string {
	switch {
	case r.BlockedBy != "":
		return string(r.BlockedBy)
	case r.Planned:
		return readyNow
	}
	return readyUnplanned
}

// readiness says how many topics of a virtual cluster could move, and of those that globs name,
// each.
func (c *collector) readiness(v *virtual, all []standing.Readiness, globs []string) {
	hides := v.runtime().hides
	counts := map[[2]string]map[string]int{} // by home and cluster
	for _, r := range all {
		if hides(r.Topic) {
			continue
		}
		k, reason := [2]string{r.From, r.To}, reasonOf(r)
		if counts[k] == nil {
			counts[k] = map[string]int{}
		}
		counts[k][reason]++
		if names(globs, r.Topic) {
			c.add(&c.table.ready, flag(reason == readyNow), v.name, r.Topic, r.To, reason)
		}
	}
	for k, n := range counts {
		for _, reason := range reasons {
			c.add(&c.table.readyTopics, float64(n[reason]), v.name, k[0], k[1], reason)
		}
	}
}
