package share

import (
	"slices"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// use is a guest that runs, and who counts on it. Without a guest it stands for one that could not
// be had at start.
type use struct {
	protects bool   // and which must not be passed by, whatever its section says
	key      string // in running
	identity string // its key in kept
	code     *code
	guest    *host.Guest
	tally    *tally
	users    int
}

// section is what runs for a section of a chain. While its YAML stays the same, so does what runs,
// unless something better is made of its file.
type section struct {
	uses   []*use // those that are counted on, the newest last; a use stands there once for each that counts on it
	files  map[string]plugin.Stamp
	broken error // of what came after the newest
}

// Claim is somebody who counts on what runs for a section.
type Claim struct {
	all     *Guests
	key     string // of the section
	section *section
	use     *use
}

// Guest is what runs; nil if it could not be had.
func (c *Claim) Guest() *host.Guest { return c.use.guest }

// Protects reports that there is no guest, and that the one that was to be must not be passed by.
func (c *Claim) Protects() bool { return c.use.protects }

// Identity is the section's, over its edits and versions.
func (c *Claim) Identity() string { return c.use.identity }

// Measures are what the guest has cost, over its versions.
func (c *Claim) Measures() Measures { return c.use.tally.measure(c.use.guest) }

// SwapError is why the last version or settings that were to take the guest's place could not; ""
// if they did.
func (c *Claim) SwapError() string { return c.use.tally.swapError() }

// Files is the module's file: a changed one is another version.
func (c *Claim) Files() map[string]plugin.Stamp {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	return c.section.files
}

// Broken says why the module's file is not what runs.
func (c *Claim) Broken() error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	return c.section.broken
}

// Close gives up. A guest that nobody counts on any more ends when its last call has returned.
func (c *Claim) Close() error {
	c.all.mu.Lock()
	s := c.section
	at := slices.Index(s.uses, c.use)
	if s.uses = slices.Delete(s.uses, at, at+1); len(s.uses) == 0 {
		delete(c.all.sections, c.key)
	}
	c.all.mu.Unlock()
	return c.all.leave(c.use)
}

// leave counts on a guest no more.
func (g *Guests) leave(u *use) error {
	g.mu.Lock()
	u.users--
	last := u.users == 0 && u.guest != nil
	if last {
		delete(g.running, u.key)
	}
	g.mu.Unlock()
	if !last {
		return nil
	}
	u.guest.Close() // waits, and must not hold up those who build others
	u.tally.end(u.guest)
	g.drop(u.identity)
	return g.forget(u.code)
}
