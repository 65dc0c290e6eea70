package plan

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/failover"
)

// Share is a share group of topics that are to move. Those who coordinate it stay where they are;
// the new home of a topic is told where the group starts when a member asks for its records. That
// is at least once, planned or not: what was not acknowledged comes again, and some of what was
// may.
type Share struct {
	Group  string   `json:"group"`
	Home   string   `json:"home"`
	Topics []string `json:"topics"` // the first ones, by name
}

// shares lists the share groups of the topics that would move, by name.
func shares(env failover.Env, what What) ([]Share, error) {
	of := map[string][]string{}
	for _, key := range env.Catalog.Shares() {
		t := env.Catalog.Topic(key.Topic)
		if t == nil || t.Home == what.To || !slices.Contains(what.Topics, key.Topic) {
			continue
		}
		s, ok, err := env.Catalog.Share(key)
		if err != nil {
			return nil, err
		}
		if ok && s.Topic == t.ID {
			of[key.Group] = append(of[key.Group], key.Topic)
		}
	}
	out := []Share{}
	for group, topics := range of {
		slices.Sort(topics)
		home := env.Placement.GroupHome(group)
		if env.Groups != nil && env.Groups.Several() {
			home = env.Groups.Home(group)
		}
		out = append(out, Share{group, home, topics[:min(len(topics), mostTopics)]})
	}
	slices.SortFunc(out, func(a, b Share) int { return strings.Compare(a.Group, b.Group) })
	return out, nil
}
