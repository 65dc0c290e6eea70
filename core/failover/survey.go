package failover

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// stretch is a range of offsets without its end.
type stretch struct{ from, to int64 }

// comparison is the outcome of comparing the tails of a copy.
type comparison struct {
	at         time.Time
	generation int32
	partitions []stretch // of virtual offsets
	extent     extent
	err        string
	by         Block // the kind of err
}

// comparisons remembers the last comparison of each copy.
type comparisons struct {
	mu   sync.Mutex
	last map[[3]string]comparison // by virtual cluster, topic, cluster
}

// still reports that nothing has been written or deleted on either side since a copy was last
// compared, which is as good as comparing it now.
func (c *comparisons) still(vc string, t *catalog.Topic, cluster string, at extent) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := [3]string{vc, t.Name, cluster}
	last, ok := c.last[k]
	if !ok || last.generation != t.Generation || !last.extent.same(at) {
		return false
	}
	last.at = time.Now()
	c.last[k] = last
	return true
}

func (c *comparisons) note(vc string, t *catalog.Topic, cluster string, compared []stretch, at extent, err error) {
	now := comparison{at: time.Now(), generation: t.Generation, extent: at}
	var failed *unread
	if errors.As(err, &failed) {
		now.extent = extent{} // it is compared again, though nothing may have changed
	}
	if err != nil {
		now.err, now.by = err.Error(), blockOf(because(ByCopy, err))
	}
	for p, s := range compared {
		part := t.Partition(int32(p))
		now.partitions = append(now.partitions, stretch{part.ToVirtual(s.from), part.ToVirtual(s.to)})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[[3]string]comparison{}
	}
	c.last[[3]string{vc, t.Name, cluster}] = now
}

// forget leaves out the topics that are gone.
func (c *comparisons) forget(gone func(vc, topic string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.last, func(k [3]string, _ comparison) bool { return gone(k[0], k[1]) })
}

func (c *comparisons) of(vc string, t *catalog.Topic, cluster string) comparison {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.last[[3]string{vc, t.Name, cluster}]; last.generation == t.Generation {
		return last
	}
	return comparison{}
}

// Standing is how a topic stands: what its home has and what its copies have of it.
type Standing struct {
	Topic      *catalog.Topic
	Partitions []Ends // at home, in virtual offsets
	Copies     []Copy // on the other clusters, in the order of the file
}

// Ends are the first offset and the one behind the last record, -1 where unknown, and how many
// offsets before the end are in holes.
type Ends struct{ Start, End, Holes int64 }

// Copy is what a cluster has of a topic that lives on another one.
type Copy struct {
	Cluster    string
	Partitions []CopyPartition
	// Compared is when records were last compared, or found not to have changed, while both
	// clusters live; Problem is why they could not be, or did not match.
	Compared time.Time
	Problem  string
}

// CopyPartition is a partition of a copy; -1 where something is unknown, but for Delta, see Known.
type CopyPartition struct {
	Start, End int64 // physical
	// Delta is the distance of the offsets there to those at home, if Known.
	Delta int64
	Known bool
	// Lag is how many records the copy lacks.
	Lag int64
	// ComparedFrom and ComparedTo are the virtual offsets between which records were compared.
	ComparedFrom, ComparedTo int64
}

// Holds reports whether the copy has what a reader at a physical offset of the home needs; ok is
// false if that can't be told.
func (p CopyPartition) Holds(home int64) (holds, ok bool) {
	if !p.Known || p.Start < 0 || p.End < 0 {
		return false, false
	}
	at := home + p.Delta
	return at >= p.Start && at <= p.End, true
}

// Survey tells how topics stand, asking every cluster that lives for all of them at once; a cluster
// that does not answer leaves its numbers unknown. Without starts, where logs begin is not asked
// for: it says nothing about records and lags.
func (r *Runner) Survey(ctx context.Context, env Env, topics []*catalog.Topic, starts bool) []Standing {
	return r.standing(env, topics, askAll(ctx, env, topics, starts))
}

// Last tells how topics stood when clusters were last asked, in the round of every 10 s. Those that
// no round has been over are asked for.
func (r *Runner) Last(ctx context.Context, env Env, topics []*catalog.Topic) []Standing {
	return r.standing(env, topics, r.lastOf(ctx, env, topics))
}

// LastEnds is Last of the ends at home alone, topic by topic.
func (r *Runner) LastEnds(ctx context.Context, env Env, topics []*catalog.Topic) iter.Seq2[*catalog.Topic, []Ends] {
	all := r.lastOf(ctx, env, topics)
	return func(yield func(*catalog.Topic, []Ends) bool) {
		for _, t := range topics {
			if !yield(t, all.ends(t)) {
				return
			}
		}
	}
}

func (r *Runner) lastOf(ctx context.Context, env Env, topics []*catalog.Topic) extents {
	last := r.readings.get(env.VirtualCluster)
	if last == nil {
		return askAll(ctx, env, topics, true)
	}
	fresh := slices.DeleteFunc(slices.Clone(topics), func(t *catalog.Topic) bool { return !last.topics[t.Name].at.IsZero() })
	if len(fresh) == 0 {
		return last.extents
	}
	all, asked := extents{}, askAll(ctx, env, fresh, true)
	for cluster, at := range last.extents {
		all[cluster] = onCluster{maps.Clone(at.starts), maps.Clone(at.ends), at.topo}
	}
	for _, t := range fresh {
		all.copy(asked, t)
	}
	return all
}

// at is an offset of a partition, -1 if it is not known.
func at(offsets []int64, p int) int64 {
	if p < len(offsets) {
		return offsets[p]
	}
	return -1
}

// ends are where a topic begins and ends at home, as clients are shown it.
func (e extents) ends(t *catalog.Topic) (out []Ends) {
	name := t.Physical(t.Home)
	starts, ends := e[t.Home].starts[name], e[t.Home].ends[name]
	out = make([]Ends, 0, len(t.Partitions))
	for p := range t.Partitions {
		out = append(out, endsOf(t, p, at(starts, p), at(ends, p)))
	}
	return out
}

func (r *Runner) standing(env Env, topics []*catalog.Topic, all extents) []Standing {
	out := make([]Standing, 0, len(topics))
	for _, t := range topics {
		s := Standing{Topic: t, Partitions: all.ends(t)}
		home := all[t.Home].ends[t.Physical(t.Home)]
		for _, c := range env.Clusters {
			if c.Name() == t.Home {
				continue
			}
			last := r.compared.of(env.VirtualCluster, t, c.Name())
			cp := Copy{Cluster: c.Name(), Compared: last.at, Problem: last.err}
			name := t.Physical(c.Name())
			switch topo := c.Topology().Topics[name]; {
			case topo == nil:
				cp.Problem = "the topic does not exist there"
			case len(topo.Partitions) != len(t.Partitions):
				cp.Problem = "it has another number of partitions there"
			}
			starts, ends := all[c.Name()].starts[name], all[c.Name()].ends[name]
			cp.Partitions = make([]CopyPartition, 0, len(t.Partitions))
			for p := range t.Partitions {
				x := CopyPartition{Start: at(starts, p), End: at(ends, p), Lag: -1, ComparedFrom: -1, ComparedTo: -1}
				x.Delta, x.Known = t.Partitions[p].Deltas[c.Name()]
				if h := at(home, p); x.Known && h >= 0 && x.End >= 0 {
					x.Lag = max(h+x.Delta-x.End, 0)
				}
				if p < len(last.partitions) {
					x.ComparedFrom, x.ComparedTo = last.partitions[p].from, last.partitions[p].to
				}
				cp.Partitions = append(cp.Partitions, x)
			}
			s.Copies = append(s.Copies, cp)
		}
		out = append(out, s)
	}
	return out
}

// endsOf maps the ends of the log at home, as clients are shown them.
func endsOf(t *catalog.Topic, p int, start, end int64) Ends {
	if end >= 0 {
		t.NoteEnd(int32(p), t.Partitions[p].ToVirtual(end))
	}
	w := t.Partitions[p].ToVirtualMarks(catalog.Watermarks{High: end, Stable: -1, Start: start}, t.Written(int32(p)))
	if w.Start >= 0 {
		w.Start = max(w.Start, t.Partitions[p].LogStart)
	}
	if w.High >= 0 {
		w.High = max(w.High, t.Partitions[p].LogStart, t.High(int32(p)))
	}
	return Ends{w.Start, w.High, t.Partitions[p].HolesBefore(w.High)}
}

// asksAtOnce is how many requests a cluster is asked side by side about many topics.
const asksAtOnce = 8

// allOffsets asks for the start (timestamp -2) or end (-1) of all partitions of topics: in as few
// requests as there are leaders, unless those have very many. What is not answered is -1.
func allOffsets(ctx context.Context, c plugin.Cluster, topics []string, timestamp int64) map[string][]int64 {
	out := make(map[string][]int64, len(topics))
	requests := offsetRequests(c.Topology(), topics, timestamp, out)
	var mu sync.Mutex
	_ = parallel(len(requests), asksAtOnce, func(i int) error {
		resp, err := c.Do(ctx, requests[i].leader, requests[i].ListOffsetsRequest)
		if err != nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			l := out[rt.Topic]
			for _, rp := range rt.Partitions {
				if rp.ErrorCode == 0 && rp.Partition >= 0 && int(rp.Partition) < len(l) {
					l[rp.Partition] = rp.Offset
				}
			}
		}
		return nil
	})
	return out
}

// ofLeader is a request for partitions of one leader.
type ofLeader struct {
	leader     int32
	partitions int
	*kmsg.ListOffsetsRequest
}

// offsetRequests are the requests for offsets of topics, of which unknown is made what holds while
// they are not answered.
func offsetRequests(topo *plugin.Topology, topics []string, timestamp int64, unknown map[string][]int64) (requests []*ofLeader) {
	last := map[int32]*ofLeader{}
	for _, name := range topics {
		t := topo.Topics[name]
		if t == nil || unknown[name] != nil {
			continue
		}
		unknown[name] = slices.Repeat([]int64{-1}, len(t.Partitions))
		for p, x := range t.Partitions {
			if x.Leader < 0 {
				continue
			}
			req := last[x.Leader]
			if req == nil || req.partitions == mostPartitions {
				req = &ofLeader{leader: x.Leader, ListOffsetsRequest: kmsg.NewPtrListOffsetsRequest()}
				req.ReplicaID = -1
				last[x.Leader], requests = req, append(requests, req)
			}
			req.partitions++
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != name {
				rt := kmsg.NewListOffsetsRequestTopic()
				rt.Topic = name
				rt.Partitions = make([]kmsg.ListOffsetsRequestTopicPartition, 0, len(t.Partitions)/max(len(topo.Brokers), 1)+1)
				req.Topics = append(req.Topics, rt)
			}
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = int32(p), timestamp, -1
			at := &req.Topics[len(req.Topics)-1]
			at.Partitions = append(at.Partitions, rp)
		}
	}
	return requests
}

// Group is a consumer group at its home.
type Group struct {
	Name      string // physical
	Cluster   string
	State     string
	Positions []Position // by topic and partition
}

// Position is what a group has committed, as clients are told: the next virtual offset that it
// would read.
type Position struct {
	Topic     *catalog.Topic
	Partition int32
	Offset    int64
	home      int64 // the physical offset at the topic's home
}

// Held says what a copy has of what the group would read from here.
func (p Position) Held(c CopyPartition) (holds, ok bool) { return c.Holds(p.home) }

// Groups lists the groups of the clusters that live. Clusters that fail are in the error; the
// others are listed.
func Groups(ctx context.Context, env Env) ([]Group, error) {
	var out []Group
	var errs []error
	for _, c := range env.Clusters {
		if !c.Reachable() {
			continue
		}
		at := map[string]int{}
		errs = append(errs, everyGroup(ctx, c, func(g kmsg.ListGroupsResponseGroup, topic string, p int32, offset int64) {
			if env.Placement != nil && env.Placement.GroupHome(g.Group) != c.Name() {
				return // a mirrored copy
			}
			i, ok := at[g.Group]
			if !ok {
				i = len(out)
				at[g.Group] = i
				out = append(out, Group{Name: g.Group, Cluster: c.Name(), State: g.GroupState})
			}
			t := env.Catalog.ByPhysical(c.Name(), topic)
			if t == nil || p < 0 || int(p) >= len(t.Partitions) {
				return
			}
			out[i].Positions = append(out[i].Positions, Position{t, p, t.Settle(p, offset), t.Partitions[p].ToPhysical(offset)})
		}))
	}
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range out {
		slices.SortFunc(g.Positions, func(a, b Position) int {
			if d := strings.Compare(a.Topic.Name, b.Topic.Name); d != 0 {
				return d
			}
			return int(a.Partition - b.Partition)
		})
	}
	return out, errors.Join(errs...)
}
