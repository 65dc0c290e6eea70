package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/door"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// known is what the store keeps of a cluster, so that a gateway that starts while the cluster is
// dead presents the same nodes and versions.
type known struct {
	Slot       int             `json:"slot"`
	ClusterID  string          `json:"cluster_id"`
	Controller int32           `json:"controller"`
	Brokers    []plugin.Broker `json:"brokers"`
	// Versions is an ApiVersions v4 response body.
	Versions []byte `json:"versions,omitempty"`
}

// Known is what the store has of a cluster: its slot, and the id that it gave itself, "" while it
// has not answered. ok is false for one that was never in force.
func Known(cat *catalog.Catalog, name string) (slot int, clusterID string, ok bool, err error) {
	var k known
	ok, err = cat.Value(catalog.KindCluster, name, &k)
	return k.Slot, k.ClusterID, ok, err
}

func (c *Cluster) recall() error {
	var k known
	topo := &plugin.Topology{Controller: -1, Topics: map[string]*plugin.Topic{}, IDs: map[[16]byte]*plugin.Topic{}}
	ok, err := c.catalog.Value(catalog.KindCluster, c.cfg.Name, &k)
	if err != nil {
		return fmt.Errorf("state: cluster %q: %w", c.cfg.Name, err)
	}
	if ok {
		if k.Slot != c.cfg.Slot {
			return fmt.Errorf("cluster %q has slot %d in the store and %d in the file: clients would take its nodes for other ones; set `slot: %d`", c.cfg.Name, k.Slot, c.cfg.Slot, k.Slot)
		}
		topo.ClusterID, topo.Controller, topo.Brokers = k.ClusterID, k.Controller, k.Brokers
		if len(k.Versions) > 0 {
			if v, err := kafka.NewResponseBody(kmsg.ApiVersions, 4, k.Versions).Peek(); err == nil {
				topo.Versions = v.(*kmsg.ApiVersionsResponse)
			}
		}
	}
	c.topology.Store(topo)
	return nil
}

func (c *Cluster) remember(ctx context.Context, t *plugin.Topology) {
	k := known{Slot: c.cfg.Slot, ClusterID: t.ClusterID, Controller: t.Controller, Brokers: t.Brokers}
	if t.Versions != nil {
		v := *t.Versions
		v.SetVersion(4)
		k.Versions = v.AppendTo(nil)
	}
	c.storing.Lock()
	defer c.storing.Unlock()
	if c.learned = &k; c.inForce {
		c.store(ctx)
	}
}

// store stores what was learned last. c.storing is held.
func (c *Cluster) store(ctx context.Context) {
	if c.learned == nil {
		return
	}
	if err := c.catalog.SetValue(ctx, catalog.KindCluster, c.cfg.Name, c.learned); err != nil && ctx.Err() == nil {
		c.log.Error("can't store what is known of the cluster", "error", err)
	}
}

// InForce begins to store what is known of the cluster: an edit that is refused stores nothing.
func (c *Cluster) InForce(ctx context.Context) {
	c.storing.Lock()
	defer c.storing.Unlock()
	if !c.inForce {
		c.inForce = true
		c.store(ctx)
	}
}

// watch checks the health of the cluster and refreshes its topology until ctx ends.
func (c *Cluster) watch(ctx context.Context) {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	var refreshed time.Time
	for {
		c.check(ctx)
		if !c.settled.Load() {
			close(c.first)
		}
		if c.reachable.Load() && time.Since(refreshed) > refreshInterval {
			if _, err := c.Refresh(ctx); err == nil {
				refreshed = time.Now()
			}
		}
		c.settled.Store(true)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.kick:
			if !guard.Sleep(ctx, 200*time.Millisecond) { // a broker that dies breaks many links at once
				return
			}
		}
	}
}

// check asks the brokers for their list. It finds out what lives; links to nodes that the cluster
// no longer lists are broken, so that what waits on them finds the new leader.
func (c *Cluster) check(watched context.Context) {
	ctx, cancel := context.WithTimeout(watched, healthTimeout)
	defer cancel()
	var err error
	if !c.checked.Load() || c.Topology().Versions == nil || len(c.Gateways()) > 0 {
		err = c.learnVersions(ctx)
	}
	var live []int32
	if err == nil {
		live, err = c.liveNodes(ctx)
	}
	if watched.Err() != nil {
		return // this end has closed, which says nothing of the other
	}
	// Who gets TLS and does not speak it may wait for more of what looks like a long frame.
	strange := errors.Is(err, door.ErrShut) || c.door.Guarded() && errors.Is(err, context.DeadlineExceeded)
	if strange && plugin.Lives(err) == nil {
		kctx, cancel := context.WithTimeout(watched, healthTimeout)
		if k := c.knock(kctx); k != nil {
			err = k
		}
		cancel()
	}
	c.setLoop(err)
	if err != nil {
		c.setReachable(false, err)
		return
	}
	before := c.live.Swap(&live)
	c.setReachable(true, nil)
	c.mu.Lock()
	var dead []*link
	for l, node := range c.links {
		if node != plugin.AnyNode && !slices.Contains(live, node) {
			dead = append(dead, l)
		}
	}
	c.mu.Unlock()
	for _, l := range dead {
		l.fail(errors.New("the cluster no longer lists this node"))
	}
	if len(dead) > 0 || before != nil && !slices.Equal(*before, live) {
		_, _ = c.Refresh(ctx) // what they led is led by others now
	}
}

// setReachable notes what was found, and logs what is new: also that a cluster does not answer from
// the start.
func (c *Cluster) setReachable(ok bool, err error) {
	if ok {
		c.healthy.Store(time.Now().UnixNano())
	} else {
		c.trouble.Store(&err)
	}
	if first := !c.checked.Swap(true); c.reachable.Swap(ok) == ok && (ok || !first) {
		return
	}
	if ok {
		c.log.Info("cluster reachable")
		return
	}
	c.log.Warn("cluster unreachable: its topics are held until it is back or they are moved", "error", err)
}

// liveNodes asks all known brokers at once and takes the first answer.
func (c *Cluster) liveNodes(ctx context.Context) ([]int32, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addrs := c.addresses(plugin.AnyNode)
	type found struct {
		nodes []int32
		err   error
	}
	out := make(chan found, len(addrs))
	for _, addr := range addrs {
		guard.Go(func() {
			var f found
			if err := guard.Catch(func() { f.nodes, f.err = c.nodes(ctx, addr) }); err != nil {
				f.err = err
			}
			out <- f
		})
	}
	var errs []error
	for range addrs {
		f := <-out
		if f.err == nil && len(f.nodes) > 0 {
			return f.nodes, nil
		}
		errs = append(errs, f.err)
	}
	return nil, errors.Join(errs...)
}

// nodes asks one broker which there are.
func (c *Cluster) nodes(ctx context.Context, addr string) (nodes []int32, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := c.ask(ctx, addr, req)
	if err != nil {
		return nil, err
	}
	for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
		nodes = append(nodes, b.NodeID)
	}
	slices.Sort(nodes)
	return nodes, nil
}

// watchLinks breaks the links, of sessions and control links, whose first request is overdue: no
// later reply can come before that one's.
func (c *Cluster) watchLinks(ctx context.Context) {
	tick := time.NewTicker(overdueInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.breakOverdue(now)
		}
	}
}

func (c *Cluster) breakOverdue(now time.Time) {
	c.mu.Lock()
	all := slices.AppendSeq(slices.Collect(maps.Keys(c.links)), maps.Values(c.controls))
	c.mu.Unlock()
	for _, l := range all {
		if l.overdue(now) {
			l.fail(errOverdue)
		}
	}
}

func (c *Cluster) learnVersions(ctx context.Context) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = plugin.Software, c.path(nil)
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	v := resp.(*kmsg.ApiVersionsResponse)
	if v.ErrorCode != 0 {
		return fmt.Errorf("%w: ApiVersions: %s", plugin.ErrNotKafka, kafka.Code(v.ErrorCode).Name())
	}
	if err := c.stacked(v); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.Topology()
	next.Versions = v
	c.topology.Store(&next)
	return nil
}

func (c *Cluster) fetchTopology(ctx context.Context) (*plugin.Topology, error) {
	before := c.Topology().Versions
	if err := c.learnVersions(ctx); err != nil {
		return nil, err
	}
	resp, err := c.Do(ctx, plugin.AnyNode, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return nil, err
	}
	m := resp.(*kmsg.MetadataResponse)
	old, next := c.replace(m)
	if next.ClusterID != old.ClusterID || next.Controller != old.Controller || !sameVersions(before, next.Versions) || !slices.EqualFunc(next.Brokers, old.Brokers, sameBroker) {
		c.remember(ctx, next)
	}
	return next, nil
}

// replace makes the metadata of all topics the view.
func (c *Cluster) replace(m *kmsg.MetadataResponse) (old, next *plugin.Topology) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old = c.Topology()
	l := lesson{before: old, after: plugin.Topology{
		Versions: old.Versions, ClusterID: old.ClusterID, Brokers: old.Brokers, Controller: old.Controller,
		Topics: make(map[string]*plugin.Topic, len(m.Topics)), IDs: make(map[[16]byte]*plugin.Topic, len(m.Topics)),
	}, owned: true}
	l.learn(m)
	c.topology.Store(&l.after)
	return old, &l.after
}

func sameVersions(a, b *kmsg.ApiVersionsResponse) bool {
	return a == b || a != nil && b != nil && slices.EqualFunc(a.ApiKeys, b.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) bool {
		return a.ApiKey == b.ApiKey && a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion
	})
}

func sameBroker(a, b plugin.Broker) bool { return a.ID == b.ID && a.Host == b.Host && a.Port == b.Port }

// union lists the brokers of both by id; of one that is in both, what now says. More than a sane
// cluster has are those that were known before, and they are forgotten.
func union(before, now []plugin.Broker) []plugin.Broker {
	out, ids := slices.Clone(now), seen[int32]{}
	for _, b := range now {
		ids.twice(b.ID)
	}
	for _, b := range before {
		if len(out) < mostBrokers && !ids.twice(b.ID) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b plugin.Broker) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
