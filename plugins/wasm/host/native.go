package host

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/sdk"
)

// native is the code of a compiled plugin.
type native struct {
	manifest manifest.Manifest
	create   func() *sdk.Guest
}

// Native is the code of a plugin that is compiled into the gateway; create returns a new copy of
// it.
func Native(create func() *sdk.Guest) (Code, error) {
	m, err := manifest.Parse(create().Manifest(), func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	return &native{manifest: m, create: create}, nil
}

// About is the manifest: there is no digest.
func (n *native) About() (manifest.Manifest, string) { return n.manifest, "" }

// Close has nothing to free.
func (n *native) Close() error { return nil }

func (n *native) open(_ context.Context, g *Guest) (runner, error) {
	c := &nativeCopy{call: call{guest: g}, plugin: n.create()}
	c.plugin.SetHost(&c.call)
	return c, nil
}

// nativeCopy is one of the copies that run.
type nativeCopy struct {
	call
	plugin *sdk.Guest
	block  []byte // of calls
}

// try runs a function of the plugin; a panic is an error.
func (c *nativeCopy) try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			if c.guest.Log != nil {
				c.guest.Log.Debug("the guest's last words", "error", err, "stack", string(debug.Stack()))
			}
		}
	}()
	return f()
}

func (c *nativeCopy) configure(ctx context.Context, settings []byte) error {
	if settings == nil {
		settings = []byte("{}")
	}
	c.within(ctx, startLimit)
	if err := c.try(func() error { return c.plugin.Configure(settings) }); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

func (c *nativeCopy) selfTest(ctx context.Context) error {
	c.within(ctx, startLimit)
	return c.try(c.plugin.SelfTest)
}

func (c *nativeCopy) show(_ string, b blocks.Block) (result, input []byte, inside time.Duration, err error) {
	if cap(c.block) < b.Size() {
		c.block = make([]byte, 0, b.Size())
	}
	block := b.Encode(c.block[:0])
	if c.block = block; cap(block) > blocks.MostKept {
		c.block = nil
	}
	entered := time.Now()
	err = c.try(func() error {
		result = c.plugin.Call(block)
		return c.over() // as if it had been ended then
	})
	inside = time.Since(entered)
	return result, block, inside, err
}

// rest has nothing to do: there is one garbage collector.
func (c *nativeCopy) rest() error { return nil }

func (c *nativeCopy) tick(now time.Time) error {
	return c.try(func() error {
		c.plugin.Tick(now.UnixMilli())
		return nil
	})
}

// memory is not known: it is the gateway's.
func (c *nativeCopy) memory() uint32 { return 0 }

func (c *nativeCopy) close(ctx context.Context) {
	c.within(ctx, startLimit)
	_ = c.try(func() error {
		c.plugin.Close()
		return nil
	})
}

// why says what panicked.
func (c *nativeCopy) why(err error) error {
	if errors.Is(err, ErrDeadline) {
		return ErrDeadline
	}
	return newFailure(err)
}

// drop leaves a copy to the garbage collector.
func (c *nativeCopy) drop() {}
