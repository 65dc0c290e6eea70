package gateway

import (
	"slices"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/standing"
)

// damage is what becomes of the groups of a virtual cluster if a home dies and a cluster takes its
// place.
type damage struct {
	home, cluster string
	groups        []standing.Damage
	unread        []*catalog.Group // those of which it is not known where they stand
	named         []*catalog.Group // those that have series of their own
}

// damages are those of each home and each other cluster, as of the last round over the copies.
func (g *Gateway) damages(rt *runtime, globs []string) (out []damage) {
	if !rt.env.Groups.Several() {
		return nil
	}
	env := standingEnv(rt)
	named := slices.DeleteFunc(env.Catalog.Groups(), func(g *catalog.Group) bool {
		return !names(globs, g.Name) || !utf8.ValidString(g.Name) // which no label can hold
	})
	for _, home := range env.Clusters {
		for _, to := range env.Clusters {
			if home.Name() == to.Name() {
				continue
			}
			if groups, unread, ok := g.standing.DamagesIf(env, home.Name(), to.Name()); ok {
				out = append(out, damage{home.Name(), to.Name(), groups, unread, named})
			}
		}
	}
	return out
}

// damage tells what would become of groups.
func (c *collector) damage(vc string, d damage) {
	t, labels := c.table, []string{vc, d.home, d.cluster}
	unknown, skipped, repeated := len(d.unread), int64(0), int64(0)
	var skippedAge, repeatedAge float64
	all := map[string]standing.Damage{}
	for _, x := range d.groups {
		all[x.Group] = x
		if x.Skipped < 0 || x.Repeated < 0 {
			unknown++
		}
		skipped, repeated = skipped+max(x.Skipped, 0), repeated+max(x.Repeated, 0)
		skippedAge, repeatedAge = max(skippedAge, x.SkippedSeconds), max(repeatedAge, x.RepeatedSeconds)
	}
	c.add(&t.damaged, float64(len(d.groups)), labels...)
	c.add(&t.damageUnknown, float64(unknown), labels...)
	c.add(&t.skipped, float64(skipped), labels...)
	c.add(&t.skippedAge, skippedAge, labels...)
	c.add(&t.repeated, float64(repeated), labels...)
	c.add(&t.repeatedAge, repeatedAge, labels...)
	for _, g := range d.named {
		x, hurt := all[g.Name]
		if !hurt && g.Home != d.home || slices.ContainsFunc(d.unread, func(u *catalog.Group) bool { return u.Name == g.Name }) {
			continue
		}
		if x.Skipped >= 0 {
			c.add(&t.groupSkipped, float64(x.Skipped), vc, g.Name, d.home, d.cluster)
		}
		if x.Repeated >= 0 {
			c.add(&t.groupRepeated, float64(x.Repeated), vc, g.Name, d.home, d.cluster)
		}
	}
}
