package standing

import (
	"cmp"
	"slices"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/groups"
)

// Damage is what it does to a consumer group if homes die and another cluster takes their place:
// those of topics that the group reads, and its own. -1 is unknown.
type Damage struct {
	Group string `json:"group"`
	Home  string `json:"home"`
	// Topics are those of which the group misses records, or gets some again: the first ones.
	Topics []string `json:"topics"`
	// Skipped is how many records it has not read and never gets: the cluster does not have them.
	// SkippedSeconds is for how long it has not had all, where that is longest.
	Skipped        int64   `json:"skipped"`
	SkippedSeconds float64 `json:"skipped_seconds"`
	// Repeated is how many records it gets again if the gateway dies with its home: the cluster
	// does not have its last positions. Otherwise it is given them first. RepeatedSeconds is how
	// long ago the first of those was committed.
	Repeated        int64   `json:"repeated"`
	RepeatedSeconds float64 `json:"repeated_seconds"`
}

// mostTopics is how many topics a Damage names.
const mostTopics = 20

// Copied is what a cluster has of a partition whose home is to die, in virtual offsets.
type Copied struct {
	Has     copies.Stretch
	Known   int64   // below which the home may have acknowledged records
	Seconds float64 // for how long the cluster has not had all that the home has, or had then
	Unknown bool    // what the cluster has may be of any place
}

// Copied tells what a cluster has of a topic that lives elsewhere, partition by partition, if both
// reach so far.
func (w *Watch) Copied(virtualCluster string, t *catalog.Topic, cluster string, at copies.Extent) (out []Copied) {
	id, compared := t.Copies[cluster]
	for p := range t.Partitions {
		part := t.Partition(int32(p))
		known, ok := part.Copies[cluster]
		start, end := copies.At(at.Copy.Starts, p), copies.At(at.Copy.Ends, p)
		c := Copied{Known: t.MayBeKnown(int32(p))}
		if home := copies.At(at.Home.Ends, p); home >= 0 {
			c.Known = max(c.Known, part.ToVirtual(home))
		}
		if ok && start >= 0 && end >= 0 && !t.Stubs[cluster] && (!compared || id == at.IDs[1]) {
			c.Has = copies.Stretch{From: known.Distance.ToVirtual(start), To: known.Reached(end)}
			c.Seconds = w.lagging.seconds(front{virtualCluster, t.Name, cluster, int32(p)})
		} else {
			c.Unknown = true
		}
		out = append(out, c)
	}
	return out
}

// skipped is how many records a reader at a virtual offset never gets.
func (c Copied) skipped(part *catalog.Partition, at int64) int64 {
	at = max(at, part.LogStart)
	if c.Has.From >= c.Has.To {
		return part.Records(at, c.Known)
	}
	return part.Records(at, min(c.Has.From, c.Known)) + part.Records(max(at, c.Has.To), c.Known)
}

// Damages tells what becomes of the groups if homes die and a cluster takes their place. of has
// what that has of topics whose homes die, by name; leaves says of which groups the home does.
// Groups that read on where they are are left out; the worst come first, and before them those of
// which it is not known. Of the groups in unread it is not known where they stand.
func Damages(env Env, to string, of map[string][]Copied, leaves func(g *catalog.Group) bool) (out []Damage, unread []*catalog.Group) {
	if env.Groups == nil || !env.Groups.Several() {
		return nil, nil
	}
	shares := map[string]bool{} // have no positions
	for _, key := range env.Catalog.Shares() {
		shares[key.Group] = true
	}
	for _, g := range env.Catalog.Groups() {
		own := env.Groups.Group(g.Name)
		switch {
		case shares[g.Name]:
			continue
		case !own.Whole():
			unread = append(unread, g)
			continue
		}
		d := Damage{Group: g.Name, Home: g.Home, Topics: []string{}}
		late, known := map[groups.Partition]int64{}, true
		if g.Home != to && leaves(g) {
			late, known = own.Late(to)
		}
		for p, x := range own.Positions() {
			t := env.Catalog.Topic(p.Topic)
			if t == nil || p.Partition < 0 || int(p.Partition) >= len(t.Partitions) || x.Offset < 0 {
				continue
			}
			at := t.Settle(p.Partition, x.Offset)
			resumes := at
			if old, is := late[p]; is {
				if resumes = t.Settle(p.Partition, old); old < 0 { // it begins anew
					resumes = max(t.Watermarks(p.Partition).Start, 0)
				}
			}
			var c *Copied
			if all := of[p.Topic]; int(p.Partition) < len(all) {
				c = &all[p.Partition]
			}
			d.add(t, p.Partition, c, at, resumes)
			if !known {
				d.Repeated = -1
				d.names(p.Topic)
			}
		}
		if d.Repeated > 0 {
			d.RepeatedSeconds = own.Behind(to).Seconds()
		}
		if len(d.Topics) > 0 {
			slices.Sort(d.Topics)
			d.Topics = d.Topics[:min(len(d.Topics), mostTopics)]
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b Damage) int { // unknown is the most
		return cmp.Or(cmp.Compare(uint64(b.Skipped), uint64(a.Skipped)), cmp.Compare(uint64(b.Repeated), uint64(a.Repeated)))
	})
	return out, unread
}

// add adds what becomes of a group in a partition that it has read up to a virtual offset, and that
// it reads from another one on. c is what is left of the partition; nil if all is.
func (d *Damage) add(t *catalog.Topic, partition int32, c *Copied, at, resumes int64) {
	part := t.Partition(partition)
	var skipped, repeated int64
	switch {
	case c == nil:
		skipped, repeated = part.Records(at, resumes), part.Records(resumes, at)
	case c.Unknown:
		d.Skipped, d.Repeated = -1, -1
		d.names(t.Name)
		return
	default:
		skipped = part.Records(at, resumes) + c.skipped(part, max(at, resumes))
		repeated = part.Records(max(resumes, c.Has.From), min(at, c.Has.To))
		if skipped > 0 {
			d.SkippedSeconds = max(d.SkippedSeconds, c.Seconds)
		}
	}
	if skipped > 0 && d.Skipped >= 0 {
		d.Skipped += skipped
	}
	if repeated > 0 && d.Repeated >= 0 {
		d.Repeated += repeated
	}
	if skipped+repeated > 0 {
		d.names(t.Name)
	}
}

// names names a topic.
func (d *Damage) names(topic string) {
	if !slices.Contains(d.Topics, topic) {
		d.Topics = append(d.Topics, topic)
	}
}

// DamagesIf tells, by what the last round over the copies has found, what becomes of the groups if
// a home dies and a cluster takes its place, or since it has died. ok is false before the first
// round.
func (w *Watch) DamagesIf(env Env, home, to string) (out []Damage, unread []*catalog.Group, ok bool) {
	last := w.readings.get(env.VirtualCluster)
	if last == nil || env.Placement == nil {
		return nil, nil, false
	}
	of := map[string][]Copied{}
	for _, t := range env.Catalog.Topics() {
		if t.Home == home && env.Placement.Home(t.Name).Shown {
			of[t.Name] = w.Copied(env.VirtualCluster, t, to, last.Of(t, to))
		}
	}
	dies := func(g *catalog.Group) bool { return g.Home == home }
	out, unread = Damages(env, to, of, dies)
	return out, slices.DeleteFunc(unread, func(g *catalog.Group) bool { return !dies(g) }), true
}
