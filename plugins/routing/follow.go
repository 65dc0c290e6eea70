package routing

import (
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
)

// Keys of `groups` that are no globs.
const (
	follow   = "follow"
	takeover = "takeover"
)

// takeoverAfter is the default of groups.takeover.
const takeoverAfter = 10 * time.Second

// wordError is what is wrong with one of those keys.
type wordError struct{ key, text string }

// keptWords reads the keys of `groups` that are no globs.
func (r *rules) keptWords() *wordError {
	r.follow, r.takeover = true, takeoverAfter
	switch v := r.cfg.Groups[follow]; v {
	case "", "topics":
	case "none":
		r.follow = false
	default:
		return &wordError{follow, fmt.Sprintf("%q is not one of topics, none; for a group of that name write the glob `follo?`", v)}
	}
	switch v := r.cfg.Groups[takeover]; v {
	case "":
	case "off":
		r.takeover = 0
	default:
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Second {
			return &wordError{takeover, fmt.Sprintf("%q is not a time of a second or more (10s), nor off; for a group of that name write the glob `takeove?`", v)}
		}
		r.takeover = d
	}
	return nil
}

// groupHome is the cluster where a group lives.
func (r *Routing) groupHome(group string) string {
	if r.env.Groups != nil && r.env.Groups.Several() {
		return r.env.Groups.Home(group)
	}
	return r.newGroup(group)
}

// newGroup is where a group lives that nobody has seen: where a rule puts it, else with the topics
// that no rule names. As long as the groups are not known of the cluster that this was on the first
// day, it may be one of those.
func (r *Routing) newGroup(group string) string {
	if cluster, ok := r.rules.group(group); ok {
		return cluster
	}
	if r.rules.follow && r.rules.fallback != "" && r.env.Catalog.KnowsGroups(r.rules.groupHome) {
		return r.rules.fallback
	}
	return r.rules.groupHome
}

// GroupHome says where the rules put a group: by its name, else where its topics live, once they
// do. One whose topics live on several clusters, or whose positions are committed in transactions,
// stays where it is.
func (r *Routing) GroupHome(group string) string {
	if cluster, ok := r.rules.group(group); ok {
		return cluster
	}
	if !r.rules.follow || r.env.Groups == nil {
		return r.groupHome(group)
	}
	home := ""
	for _, topic := range r.env.Groups.Topics(group) {
		t := r.env.Catalog.Topic(topic)
		if t == nil || t.Home == "" {
			continue
		}
		cluster, shown := r.homeOfKnown(t)
		if !shown {
			continue
		}
		if home != "" && home != cluster {
			return r.groupHome(group)
		}
		home = cluster
	}
	known := r.env.Catalog.Group(group)
	switch {
	case known != nil && r.env.Groups.Group(group).InTransactions() != "":
		return known.Home
	case home != "":
		return home
	}
	return r.newGroup(group)
}

// Follows reports that a group has no rule of its own, and goes where its topics go.
func (r *Routing) Follows(group string) bool {
	_, ruled := r.rules.group(group)
	return !ruled && r.rules.follow && r.env.Groups != nil && r.env.Groups.Group(group).InTransactions() == ""
}

// SetGroupHome returns the edits that put a group on a cluster.
func (r *Routing) SetGroupHome(group, cluster string) []config.Edit {
	return r.rules.setGroupHome(group, cluster)
}

// GroupRules are the rules of groups that nobody has seen, and after how long without their home
// groups get another one.
func (r *Routing) GroupRules() (home func(group string) string, takeover time.Duration) {
	return r.newGroup, r.rules.takeover
}
