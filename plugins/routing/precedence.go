package routing

import (
	"github.com/sluice-gateway/sluice/core/config"
)

// pairLimit bounds how many globs are compared: far more than a file has that somebody has written.
const pairLimit = 1 << 20

// precedence finds rules that the order of globs decides on: those that never apply, and those that
// only their spelling puts before others.
func (r *rules) precedence(section config.Section) (errs config.Errors) {
	topic := func(a, b string) bool {
		x, y := r.cfg.Topics[a], r.cfg.Topics[b]
		return r.same(x.Cluster, y.Cluster) && policy(x.Unplanned) == policy(y.Unplanned)
	}
	of := func(m map[string]string) func(a, b string) bool {
		return func(a, b string) bool { return r.same(m[a], m[b]) }
	}
	for _, set := range []struct {
		key   string
		globs []string
		same  func(a, b string) bool
	}{{"topics", r.globs, topic}, {"groups", r.groups, of(r.cfg.Groups)}, {"transactions", r.txns, of(r.cfg.Transactions)}} {
		left := pairLimit
		for i, glob := range set.globs {
			at := []string{set.key, glob}
			for j := i - 1; j >= 0 && left > 0 && weight(set.globs[j]) == weight(glob); j-- {
				left--
				first := set.globs[j]
				same := set.same(first, glob)
				switch {
				case config.GlobCovers(first, glob) && same:
					r.warnings = append(r.warnings, section.Warnf(at, "this rule never applies: %q, which says the same, has as many literal characters, comes first by its spelling and stands for all of it", first))
				case config.GlobCovers(first, glob):
					errs = append(errs, section.Errorf(at, "this rule never applies: %q has as many literal characters, comes first by its spelling and stands for all of it", first))
				case !same && config.GlobsMeet(first, glob):
					r.warnings = append(r.warnings, section.Warnf(at, "%q has as many literal characters, and some names are both: there %q applies, since it comes first by its spelling; a rule with more literal characters would decide", first, first))
				}
			}
		}
	}
	return errs
}

// same reports two names of one cluster.
func (r *rules) same(a, b string) bool {
	return a == b || r.aliases[a] != "" && r.aliases[a] == r.aliases[b]
}

// policy is what an empty policy stands for.
func policy(unplanned string) string {
	if unplanned == "" {
		return "if-unreachable"
	}
	return unplanned
}
