package routing

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// None is the cluster of a topic that belongs to no cluster.
const None = "none"

// Config is the routing section of a chain.
type Config struct {
	// Default is the home of topics, groups and transactional ids that no rule names; empty for
	// the first cluster when there is only one, else topics without a rule are not shown.
	Default string `koanf:"default"`
	// Topics maps names, globs ("orders-*") to homes. An exact name beats a glob, a longer glob a
	// shorter one.
	Topics map[string]TopicRule `koanf:"topics"`
	// Groups and Transactions map globs of group and transactional ids to their home. In Groups,
	// `follow` says where groups live that no glob names: with their topics ("topics", the
	// default), or where they are ("none"); and `takeover` after how long without their home they
	// get another one ("10s" by default, "off" for never).
	Groups       map[string]string `koanf:"groups" kept:"follow=(topics|none)? takeover=(off)?|duration"`
	Transactions map[string]string `koanf:"transactions"`
	// CreateOn says where CreateTopics creates: "all" (default; the next move needs the topic
	// there) or "home".
	CreateOn string `koanf:"create_on" oneof:",all,home"`
	// AutoCreate says whether the gateway creates topics that clients ask metadata of. Unset, it
	// does what the topic's home does (auto.create.topics.enable).
	AutoCreate *bool `koanf:"auto_create"`
}

// TopicRule is the home of the topics that a name or glob stands for.
type TopicRule struct {
	Cluster string `koanf:"cluster" needed:"always"`
	// Names gives the physical name per cluster; for exact names alone.
	Names map[string]string `koanf:"names"`
	// Unplanned is the policy for moves whose old home is gone: if-unreachable (default), never,
	// always.
	Unplanned string `koanf:"unplanned" oneof:",if-unreachable,never,always"`
	// Copy is what tells where copies have the records of the home: what they say (align, by
	// default), that the replicator keeps offsets (identity), or what they say, looked for where
	// the offset syncs of a MirrorMaker 2 are (mm2).
	Copy string `koanf:"copy" oneof:",align,identity,mm2"`
}

// rules is the compiled configuration. It is immutable.
type rules struct {
	cfg      Config
	fallback string
	// groupHome is the home of groups and transactional ids without a rule: the default of the day
	// the virtual cluster was first served. Editing `default` moves topics, not positions.
	groupHome string
	clusters  []string
	aliases   map[string]string
	inFile    map[string]string // what the file calls a cluster
	globs     []string          // longest literal first
	follow    bool              // groups without a rule follow their topics
	takeover  time.Duration     // of groups whose home is gone; 0: never
	groups    []string
	txns      []string
	path      []string
	warnings  config.Errors
}

func compile(section config.Section, clusters []config.Cluster) (*rules, error) {
	var c Config
	errs := section.Partly(&c)
	r := &rules{cfg: c, aliases: map[string]string{}, inFile: map[string]string{None: None}, path: section.Path()}
	for _, cl := range clusters {
		r.inFile[cl.Name] = cl.InFile()
		r.clusters = append(r.clusters, cl.Name)
		r.aliases[cl.Name] = cl.Name
		for _, a := range cl.Aliases {
			r.aliases[a] = cl.Name
		}
	}
	var more config.Errors
	bad := func(at []string, format string, args ...any) {
		more = append(more, section.Errorf(at, format, args...))
	}
	check := func(cluster string, none bool, at ...string) {
		if _, ok := r.aliases[cluster]; !ok && (!none || cluster != None) {
			bad(at, "%q is not a cluster of this virtual cluster (%s)", cluster, strings.Join(r.clusters, ", "))
		}
	}
	if c.Default != "" {
		check(c.Default, false, "default")
		r.fallback = r.aliases[c.Default]
	} else if len(clusters) == 1 {
		r.fallback = clusters[0].Name
	}
	for name, t := range c.Topics {
		check(t.Cluster, true, "topics", name, "cluster")
		if err := config.CheckGlob(name); err != nil {
			bad([]string{"topics", name}, "%v", err)
		} else if !config.IsGlob(name) && !legalTopic(name) {
			bad([]string{"topics", name}, "%q can't be the name of a topic: up to 249 letters, digits, . _ -", name)
		}
		if config.IsGlob(name) {
			r.globs = append(r.globs, name)
			if len(t.Names) > 0 {
				bad([]string{"topics", name, "names"}, "names belong to one topic, not to a glob")
			}
		}
		for cl := range t.Names {
			check(cl, false, "topics", name, "names", cl)
		}
	}
	for _, set := range []struct {
		name string
		m    map[string]string
		to   *[]string
	}{{"groups", c.Groups, &r.groups}, {"transactions", c.Transactions, &r.txns}} {
		for g, cl := range set.m {
			if set.name == "groups" && (g == follow || g == takeover) {
				continue
			}
			check(cl, false, set.name, g)
			if err := config.CheckGlob(g); err != nil {
				bad([]string{set.name, g}, "%v", err)
			}
			*set.to = append(*set.to, g)
		}
		slices.SortFunc(*set.to, bySpecificity)
	}
	if err := r.keptWords(); err != nil {
		bad([]string{"groups", err.key}, "%s", err.text)
	}
	slices.SortFunc(r.globs, bySpecificity)
	more = append(append(more, r.sameNames(section)...), r.precedence(section)...)
	if err := errs.And(more...).Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// sameNames refuses two virtual topics with one physical topic: one physical topic has one home.
func (r *rules) sameNames(section config.Section) (errs config.Errors) {
	seen := map[[2]string]string{}
	for _, name := range sortedKeys(r.cfg.Topics) {
		for cl, physical := range r.cfg.Topics[name].Names {
			k := [2]string{r.aliases[cl], physical}
			if other, ok := seen[k]; ok {
				errs = append(errs, section.Errorf([]string{"topics", name, "names", cl}, "topic %q on %s is already %q: one physical topic has one home", physical, cl, other))
			}
			seen[k] = name
		}
	}
	return errs
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// bySpecificity orders globs so that the one with more literal characters comes first.
func bySpecificity(a, b string) int {
	return cmp.Or(weight(b)-weight(a), strings.Compare(a, b))
}

// legalTopic is what Kafka allows in names of topics.
var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`).MatchString

// weight is the number of literal characters of a glob.
func weight(glob string) int { return len(glob) - strings.Count(glob, "*") - strings.Count(glob, "?") }

func match(globs []string, name string) (string, bool) {
	for _, g := range globs {
		if g == name {
			return g, true
		}
		if config.MatchGlob(g, name) {
			return g, true
		}
	}
	return "", false
}

// home applies the topic rules.
func (r *rules) home(topic string) plugin.Home {
	t, ok := r.rule(topic)
	if !ok {
		return plugin.Home{Cluster: r.fallback, Shown: r.fallback != "", Unplanned: "if-unreachable", Copy: "align"}
	}
	h := plugin.Home{Cluster: r.aliases[t.Cluster], Shown: t.Cluster != None, Unplanned: cmp.Or(t.Unplanned, "if-unreachable"), Copy: cmp.Or(t.Copy, "align")}
	if len(t.Names) > 0 {
		h.Names = map[string]string{}
		for cl, n := range t.Names {
			h.Names[r.aliases[cl]] = n
		}
	}
	return h
}

// place is the cluster of a home, and whether the topic is shown.
func (r *rules) place(topic string) (cluster string, shown bool) {
	t, ok := r.rule(topic)
	if !ok {
		return r.fallback, r.fallback != ""
	}
	return r.aliases[t.Cluster], t.Cluster != None
}

// rule is the rule of a topic, its own or that of a pattern.
func (r *rules) rule(topic string) (t TopicRule, ok bool) {
	if t, ok = r.cfg.Topics[topic]; !ok {
		var g string
		if g, ok = match(r.globs, topic); ok {
			t = r.cfg.Topics[g]
		}
	}
	return t, ok
}

// group is where a rule puts a group; ok is false without one.
func (r *rules) group(id string) (cluster string, ok bool) {
	if g, ok := match(r.groups, id); ok {
		return r.aliases[r.cfg.Groups[g]], true
	}
	return "", false
}

func (r *rules) transaction(id string) string { return r.first(r.txns, r.cfg.Transactions, id) }

// everyGroup reports that rules name the home of every group and transactional id.
func (r *rules) everyGroup() bool {
	return slices.Contains(r.groups, "*") && slices.Contains(r.txns, "*")
}

func (r *rules) first(globs []string, m map[string]string, id string) string {
	if g, ok := match(globs, id); ok {
		return r.aliases[m[g]]
	}
	return r.groupHome
}

// setHome returns the edits that put a topic on a cluster. A rule of the topic's own is changed in
// place; else one is added.
func (r *rules) setHome(topic, cluster, name string) []config.Edit {
	at := func(more ...string) []string {
		return append(append(slices.Clone(r.path), "topics", topic), more...)
	}
	written := r.inFile[cluster]
	t, ok := r.cfg.Topics[topic]
	if !ok {
		v := map[string]any{"cluster": written}
		// What its pattern says besides goes on to be so.
		of, _ := r.rule(topic)
		for key, value := range map[string]string{"unplanned": of.Unplanned, "copy": of.Copy} {
			if value != "" {
				v[key] = value
			}
		}
		if name != "" && name != topic && cluster != None {
			v["names"] = map[string]any{written: name}
		}
		return []config.Edit{{Path: at(), Value: v}}
	}
	var edits []config.Edit
	if t.Cluster != written {
		edits = append(edits, config.Edit{Path: at("cluster"), Value: written})
	}
	if name != "" && cluster != None {
		has := topic
		for cl, n := range t.Names {
			if r.aliases[cl] == r.aliases[cluster] {
				has = n
			}
		}
		if has != name {
			edits = append(edits, config.Edit{Path: at("names", written), Value: name})
		}
	}
	return edits
}

// setGroupHome returns the edits that put a group on a cluster.
func (r *rules) setGroupHome(group, cluster string) []config.Edit {
	if r.inFile[cluster] == r.cfg.Groups[group] {
		return nil
	}
	return []config.Edit{{Path: append(slices.Clone(r.path), "groups", group), Value: r.inFile[cluster]}}
}

// leave returns the edits that move every rule, glob and the default from one cluster to another.
func (r *rules) leave(from, to string) []config.Edit {
	var edits []config.Edit
	at := func(more ...string) []string { return append(slices.Clone(r.path), more...) }
	for _, g := range r.groups {
		if r.aliases[r.cfg.Groups[g]] == from {
			edits = append(edits, config.Edit{Path: at("groups", g), Value: r.inFile[to]})
		}
	}
	if r.fallback == from {
		edits = append(edits, config.Edit{Path: at("default"), Value: r.inFile[to]})
	}
	for _, name := range sortedKeys(r.cfg.Topics) {
		if r.aliases[r.cfg.Topics[name].Cluster] == from {
			edits = append(edits, config.Edit{Path: at("topics", name, "cluster"), Value: r.inFile[to]})
		}
	}
	return edits
}
