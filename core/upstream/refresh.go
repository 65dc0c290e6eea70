package upstream

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// refreshTimeout is how long a refresh may take, whoever waits for it.
const refreshTimeout = 5 * time.Second

// errClosed is the error of a cluster that has been closed.
var errClosed = fmt.Errorf("%w: %w", plugin.ErrUnreachable, net.ErrClosed)

// refreshing is a refresh that callers wait for.
type refreshing struct {
	done chan struct{}
	topo *plugin.Topology
	err  error
}

// Refresh asks for the metadata of all topics; see plugin.Cluster. There is one request at a time:
// those who call while it is on its way share the next, because its answer may be older than their
// call. None ends with the patience of a single caller.
func (c *Cluster) Refresh(ctx context.Context) (*plugin.Topology, error) {
	c.mu.Lock()
	if c.controls == nil {
		c.mu.Unlock()
		return nil, errClosed
	}
	r := c.next
	if r == nil {
		r = &refreshing{done: make(chan struct{})}
		c.next = r
	}
	if !c.refreshes {
		c.refreshes = true
		c.done.Go(c.refresh)
	}
	c.mu.Unlock()
	select {
	case <-r.done:
		return r.topo, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", plugin.ErrUnreachable, context.Cause(ctx))
	}
}

// refresh carries out what is asked for, until nothing is.
func (c *Cluster) refresh() {
	for {
		c.mu.Lock()
		r := c.next
		c.next, c.refreshes = nil, r != nil
		c.mu.Unlock()
		if r == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), refreshTimeout)
		if err := guard.Catch(func() { r.topo, r.err = c.fetchTopology(ctx) }); err != nil {
			r.err = err
		}
		cancel()
		close(r.done)
	}
}
