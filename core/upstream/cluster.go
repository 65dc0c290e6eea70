package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/door"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/wire"
)

const (
	dialTimeout     = 5 * time.Second
	healthInterval  = 3 * time.Second
	healthTimeout   = 2 * time.Second
	refreshInterval = 30 * time.Second
	requestTimeout  = 15 * time.Second
	overdueInterval = 500 * time.Millisecond
	mostWaiting     = 1000 // requests on a control link
	clientID        = "sluice"
)

// Cluster is a physical cluster: its control links, topology and health. It implements
// plugin.Cluster and is shared by the runtimes that name it.
type Cluster struct {
	cfg     config.Cluster
	catalog *catalog.Catalog
	log     *slog.Logger
	pool    *wire.Buffers
	limit   int
	dial    func(ctx context.Context, addr string) (net.Conn, error)
	door    *door.Door

	topology  atomic.Pointer[plugin.Topology]
	reachable atomic.Bool
	trouble   atomic.Pointer[error]
	checked   atomic.Bool       // reachable says what was found
	refused   atomic.Int64      // responses
	latency   telemetry.Latency // of sessions' requests, from queueing to the answer
	answers   answers           // to them
	healthy   atomic.Int64      // unix nanoseconds of the last answer
	settled   atomic.Bool
	self      *Self // nil: nobody listens
	gateways  atomic.Pointer[[]string]
	loop      atomic.Pointer[string]
	first     chan struct{}           // closed when the cluster has been looked at once; nil for one that is not watched
	live      atomic.Pointer[[]int32] // the nodes that the cluster listed last
	kick      chan struct{}

	mu       sync.Mutex
	controls map[string]*link // nil once the cluster is closed
	links    map[*link]int32  // sessions' links by node, to break those of dead nodes
	backoff  map[string]*backoff
	back     map[string]bool // addresses that lead back to this gateway
	mute     map[string]bool // addresses that let a control link wait too long, and have not answered since
	next     *refreshing     // that has not begun
	// refreshes says that somebody takes next.
	refreshes bool

	storing sync.Mutex
	inForce bool
	learned *known

	users atomic.Int32
	stop  context.CancelFunc
	done  guard.Group
}

type backoff struct {
	until time.Time
	wait  time.Duration
}

// NewCluster returns a cluster and starts watching it. What the catalog knows of it is its topology
// until it answers. A cluster that leads back to self, which may be nil, is refused.
func NewCluster(cfg config.Cluster, cat *catalog.Catalog, log *slog.Logger, pool *wire.Buffers, frameLimit int, self *Self) (*Cluster, error) {
	c := Unwatched(cfg, cat, pool)
	c.self = self
	c.limit, c.log = frameLimit, log.With("cluster", cfg.Name)
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	c.dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	c.door = door.New(cfg, clientID)
	if err := c.recall(); err != nil {
		return nil, err
	}
	c.start()
	return c, nil
}

// start begins to watch the cluster and its links.
func (c *Cluster) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.first = cancel, make(chan struct{})
	c.done.Go(func() { guard.Keep(ctx, func() { c.watch(ctx) }) })
	c.done.Go(func() { guard.Keep(ctx, func() { c.watchLinks(ctx) }) })
}

// Unwatched returns a cluster that is never asked anything, to check a configuration with.
func Unwatched(cfg config.Cluster, cat *catalog.Catalog, pool *wire.Buffers) *Cluster {
	c := &Cluster{
		cfg: cfg, catalog: cat, pool: pool, log: slog.Default(), door: &door.Door{},
		controls: map[string]*link{}, links: map[*link]int32{}, backoff: map[string]*backoff{}, mute: map[string]bool{}, back: map[string]bool{},
		kick: make(chan struct{}, 1), stop: func() {},
	}
	c.users.Store(1)
	c.topology.Store(&plugin.Topology{Controller: -1, Topics: map[string]*plugin.Topic{}, IDs: map[[16]byte]*plugin.Topic{}})
	return c
}

// Name is the cluster's name in the configuration.
func (c *Cluster) Name() string { return c.cfg.Name }

// Slot is the cluster's number in virtual node ids.
func (c *Cluster) Slot() int { return c.cfg.Slot }

// Config is the configuration that the cluster was opened with.
func (c *Cluster) Config() config.Cluster { return c.cfg }

// Reachable is what the last health check found.
func (c *Cluster) Reachable() bool { return c.reachable.Load() }

// LastAnswer is when a broker of the cluster last answered a health check; zero if never.
func (c *Cluster) LastAnswer() time.Time {
	n := c.healthy.Load()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// Topology is the last known view.
func (c *Cluster) Topology() *plugin.Topology { return c.topology.Load() }

// Share returns the cluster for one more user, who closes it as well: requests in flight go on
// after an edit of the file has replaced or removed it.
func (c *Cluster) Share() *Cluster {
	c.users.Add(1)
	return c
}

// Close of the last user ends the watch and all links.
func (c *Cluster) Close() error {
	if c.users.Add(-1) > 0 {
		return nil
	}
	c.stop()
	c.mu.Lock()
	controls := c.controls
	c.controls = nil
	c.mu.Unlock()
	for _, l := range controls {
		_ = l.Close()
	}
	c.breakLinks(net.ErrClosed)
	c.done.Wait()
	return nil
}

// addresses lists where to ask: the node's address, or all known brokers and the bootstrap list.
// Those that are not expected to answer come last.
func (c *Cluster) addresses(node int32) []string {
	topo := c.Topology()
	var out, dead []string
	live := c.live.Load()
	for _, b := range topo.Brokers {
		if node != plugin.AnyNode && b.ID != node {
			continue
		}
		addr := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if live != nil && !slices.Contains(*live, b.ID) {
			dead = append(dead, addr)
		} else {
			out = append(out, addr)
		}
	}
	out = append(out, dead...)
	if node != plugin.AnyNode {
		return out
	}
	for _, b := range c.cfg.Bootstrap {
		if !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(out, func(a, b string) int {
		switch {
		case c.mute[a] == c.mute[b]:
			return 0
		case c.mute[a]:
			return 1
		}
		return -1
	})
	return out
}

// controller is the node of the controller, or AnyNode while it is not known or down: brokers hand
// on what is its matter.
func (c *Cluster) controller() int32 {
	id := c.Topology().Controller
	if id < 0 || len(c.addresses(id)) == 0 || c.down(id) {
		return plugin.AnyNode
	}
	return id
}

// backingOff returns an error while addr failed so recently that it is not tried again.
func (c *Cluster) backingOff(addr string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.backoff[addr]; b != nil && time.Now().Before(b.until) {
		return fmt.Errorf("%w: %s was unreachable %s ago", plugin.ErrUnreachable, addr, b.wait)
	}
	return nil
}

// down reports that a node is known not to answer: the cluster no longer lists it, or the last
// attempt to reach it failed a moment ago.
func (c *Cluster) down(node int32) bool {
	if live := c.live.Load(); live != nil && !slices.Contains(*live, node) {
		return true
	}
	c.mu.Lock()
	none := len(c.backoff) == 0
	c.mu.Unlock()
	if none {
		return false
	}
	for _, addr := range c.addresses(node) {
		c.mu.Lock()
		b := c.backoff[addr]
		failed := b != nil && time.Since(b.until) < time.Second
		c.mu.Unlock()
		if failed {
			return true
		}
	}
	return false
}

// open dials addr with a time limit and keeps the backoff of failing addresses.
func (c *Cluster) open(ctx context.Context, addr string) (net.Conn, error) {
	if err := c.backingOff(addr); err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, addr)
	if err == nil {
		if err = c.self.ownAddress(conn); err != nil {
			_ = conn.Close()
		}
		c.setBack(addr, err)
	}
	if err == nil {
		conn, err = c.door.Enter(ctx, conn, addr)
	}
	if errors.Is(ctx.Err(), context.Canceled) && err != nil {
		return nil, fmt.Errorf("%w: %w", plugin.ErrUnreachable, err) // given up, which says nothing of addr
	}
	if err != nil && unable(err) {
		return nil, fmt.Errorf("%w: %w: %w", plugin.ErrUnreachable, plugin.ErrUnable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.backoff, addr)
		return conn, nil
	}
	b := c.backoff[addr]
	if b == nil {
		b = &backoff{}
		c.backoff[addr] = b
	}
	b.wait = min(max(2*b.wait, 50*time.Millisecond), time.Second)
	b.until = time.Now().Add(b.wait)
	return nil, fmt.Errorf("%w: %w", plugin.ErrUnreachable, err)
}

// control returns the control link to an address.
func (c *Cluster) control(addr string) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.controls == nil {
		return nil, errClosed
	}
	if l := c.controls[addr]; l != nil && !l.broken() {
		return l, nil
	}
	l := newLink(func(ctx context.Context) (net.Conn, error) { return c.open(ctx, addr) }, c.pool, c.limit, func(err error) {
		if errors.Is(err, errOverdue) {
			c.setMute(addr, true)
		}
	})
	l.most = mostWaiting
	c.controls[addr] = l
	return l, nil
}

func (c *Cluster) setMute(addr string, mute bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mute {
		c.mute[addr] = true
	} else {
		delete(c.mute, addr)
	}
}

// Do sends a request over a control link; see plugin.Cluster.
func (c *Cluster) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	if api, ok := kafka.Lookup(kmsg.Key(req.Key())); ok && api.GoesTo == kafka.Controller && node == plugin.AnyNode {
		node = c.controller()
	}
	addrs := c.addresses(node)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: %s has no known node %d", plugin.ErrUnreachable, c.cfg.Name, node)
	}
	var errs []error
	for i, addr := range addrs {
		// One broker that does not answer must not use up the time for all.
		end, _ := ctx.Deadline()
		actx, cancel := context.WithTimeout(ctx, max(time.Until(end)/time.Duration(len(addrs)-i), time.Second))
		resp, err := c.ask(actx, addr, req)
		cancel()
		if err == nil {
			return resp, nil
		}
		errs = append(errs, err)
		var malformed *kafka.MalformedError
		if ctx.Err() != nil || !errors.Is(err, plugin.ErrUnreachable) && !errors.As(err, &malformed) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

type answer struct {
	body []byte
	err  error
}

func (c *Cluster) ask(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	key := kmsg.Key(req.Key())
	if key != kmsg.ApiVersions {
		req.SetVersion(c.version(key, req.MaxVersion()))
	}
	l, err := c.control(addr)
	if err != nil {
		return nil, err
	}
	done := make(chan answer, 1)
	cl := &call{key: key, version: req.GetVersion(), done: func(_, b []byte, err error) {
		if err == nil {
			c.setMute(addr, false) // also if nobody waits any more
		}
		done <- answer{b, err}
	}}
	cl.deadline, _ = ctx.Deadline()
	began := time.Now()
	cl.encode = func(o *kafka.Out) {
		h := kafka.AppendRequestHeader(nil, kafka.Header{Key: key, Version: cl.version, CorrelationID: cl.corr, ClientID: clientID, HasClientID: true})
		o.Append(h[8:])
		kafka.RequestBodyOf(req).AppendTo(o)
	}
	l.send(cl, true)
	select {
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		resp, err := kafka.NewResponseBody(key, cl.version, a.body).Peek()
		if err == nil {
			err = saneControl(resp)
		}
		if err != nil {
			c.refuse(err, a.body)
			return nil, fmt.Errorf("%w: %s: %w", plugin.ErrNotKafka, addr, err)
		}
		return resp, nil
	case <-ctx.Done():
		if l.speaks(began) { // part of an answer, or of another one
			return nil, fmt.Errorf("%w: %w: %s: %w", plugin.ErrUnreachable, plugin.ErrNotKafka, addr, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%w: %s: %w", plugin.ErrUnreachable, addr, context.Cause(ctx))
	}
}

// version is the version of an API to use with this cluster, at most highest.
func (c *Cluster) version(key kmsg.Key, highest int16) int16 {
	if v := c.Topology().Versions; v != nil {
		for _, k := range v.ApiKeys {
			if k.ApiKey == int16(key) {
				highest = min(highest, k.MaxVersion)
			}
		}
	}
	if api, ok := kafka.Lookup(key); ok {
		highest = min(highest, api.MaxVersion)
	}
	return highest
}

// Coordinator finds the coordinator of a group (kind 0), transaction (1) or share group (2).
func (c *Cluster) Coordinator(ctx context.Context, kind int8, key string) (int32, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return -1, err
	}
	r := resp.(*kmsg.FindCoordinatorResponse)
	code, node := r.ErrorCode, r.NodeID
	if len(r.Coordinators) > 0 {
		code, node = r.Coordinators[0].ErrorCode, r.Coordinators[0].NodeID
	}
	if code != 0 {
		return -1, fmt.Errorf("%w: coordinator of %q: error %d", plugin.ErrUnreachable, key, code)
	}
	return node, nil
}

// track notes a session's link, so that it is broken when its node is found dead.
func (c *Cluster) track(l *link, node int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links[l] = node
}

// untrack forgets a link that has ended, and has the cluster looked at.
func (c *Cluster) untrack(l *link) {
	c.mu.Lock()
	delete(c.links, l)
	c.mu.Unlock()
	if !errors.Is(l.cause(), net.ErrClosed) {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// BreakLinks breaks every session's link to the cluster: a failover has decided that it is gone.
func (c *Cluster) BreakLinks() { c.breakLinks(plugin.ErrUnreachable) }

func (c *Cluster) breakLinks(why error) {
	c.mu.Lock()
	all := slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	for _, l := range all {
		l.fail(why)
	}
}

// Settled reports that the cluster has been asked once, whatever came of it.
func (c *Cluster) Settled() bool { return c.settled.Load() }

// Links is the number of sessions' links to the cluster.
func (c *Cluster) Links() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.links)
}

// Latency is how long brokers took to answer sessions' requests.
func (c *Cluster) Latency() telemetry.Reading { return c.latency.Read() }
