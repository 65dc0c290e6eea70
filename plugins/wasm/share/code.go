package share

import (
	"context"
	"errors"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// code is compiled by the first that needs it, while the others wait.
type code struct {
	key   string
	ready chan struct{}
	value host.Code
	err   error
	users int
}

// compile returns code that is compiled; somebody more counts on it. Those that need the same wait
// for the first, and do it themselves if that one gave up.
func (g *Guests) compile(ctx context.Context, key string, from Loaded) (*code, error) {
	for {
		g.mu.Lock()
		c := g.codes[key]
		if c == nil {
			break // and go on holding the lock
		}
		c.users++
		g.mu.Unlock()
		select {
		case <-c.ready:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), g.forget(c))
		}
		if c.err == nil || !errors.Is(c.err, context.Canceled) {
			return c, c.err
		}
	}
	c := &code{key: key, ready: make(chan struct{}), users: 1}
	g.codes[key] = c
	g.mu.Unlock()
	c.value, c.err = from.Code(ctx)
	if c.err != nil {
		c.value = nil // and not one that holds nothing
		g.mu.Lock()
		delete(g.codes, key)
		g.mu.Unlock()
	}
	close(c.ready)
	return c, c.err
}

// forget closes code that nobody counts on any more.
func (g *Guests) forget(c *code) error {
	g.mu.Lock()
	c.users--
	last := c.users == 0
	if last && g.codes[c.key] == c {
		delete(g.codes, c.key)
	}
	g.mu.Unlock()
	if !last {
		return nil
	}
	<-c.ready
	if c.value == nil {
		return nil
	}
	return c.value.Close()
}
