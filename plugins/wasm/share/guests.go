// Package share knows which guests run, and for which sections of chains: code is compiled once, a
// guest serves all that want the same, and what runs stays until something better is ready.
package share

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
)

// Guests shares modules and guests between runtimes: an edit of the file that does not concern a
// guest must not start it again, and one of its configuration alone must not compile it again. The
// lock is never held while code is read, compiled or run.
type Guests struct {
	mu       sync.Mutex
	codes    map[string]*code // by source and memory
	running  map[string]*use
	sections map[string]*section
	kept     map[string]*lasting // by identity
}

// NewGuests returns none.
func NewGuests() *Guests {
	return &Guests{codes: map[string]*code{}, running: map[string]*use{}, sections: map[string]*section{}, kept: map[string]*lasting{}}
}

// Wanted is what a section of a chain wants to run.
type Wanted struct {
	// Section tells sections apart: by everything that is in them.
	Section string
	// Identity is the section's over its edits and versions: what it keeps is kept by it.
	Identity string
	// Variant tells guests of the same code and identity apart: by all that Options depend on.
	Variant string
	Source  Source
	Limits  host.Limits
	// Options are those of a guest with a manifest, or an error if the section does not allow it.
	Options func(manifest.Manifest) (host.Options, error)
	// Wrong says where in the YAML the cause of an error stands.
	Wrong func(error) error
	// Hide takes secrets out of an error; nil if there are none.
	Hide func(error) error
	// Starting is for a gateway that starts: what can't be had now may come later.
	Starting bool
}

// Source is where a plugin's code comes from.
type Source struct {
	What  string // it is, for errors
	Fixed bool   // it is always the same code
	Load  func(ctx context.Context) (Loaded, error)
}

// Loaded is code that was read. Files are also those that could not be.
type Loaded struct {
	ID    string // other code has another
	Files map[string]plugin.Stamp
	Code  func(ctx context.Context) (host.Code, error)
}

// ProtectsError refuses a section that would let requests pass by a guest that protects.
type ProtectsError struct{ Err error }

func (e *ProtectsError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with the section.
func (e *ProtectsError) Unwrap() error { return e.Err }

// Get takes what runs for a section, or starts it. With Starting somebody also claims what can't be
// had, without a guest, and the error says why.
func (g *Guests) Get(ctx context.Context, w Wanted) (*Claim, error) {
	if c := g.inForce(w.Section); c != nil {
		return c, nil
	}
	c, files, err := g.start(ctx, w)
	if err == nil || !w.Starting {
		return c, err
	}
	var protects *ProtectsError
	return g.claim(w.Section, &use{protects: errors.As(err, &protects)}, files, err), err
}

// Prepare starts what is new, so that Get finds it.
func (g *Guests) Prepare(ctx context.Context, w Wanted, again bool) (plugin.Prepared, error) {
	now := g.inForce(w.Section)
	if now != nil && (!again || w.Source.Fixed && now.use.guest != nil) {
		return plugin.Prepared{Closer: now}, nil
	}
	next, files, err := g.start(ctx, w)
	switch {
	case now == nil && err != nil:
		return plugin.Prepared{}, err
	case now == nil:
		return plugin.Prepared{Closer: next, News: true}, nil
	case err != nil:
		if ctx.Err() == nil {
			g.broke(now.section, files, err)
		}
		return plugin.Prepared{Closer: now, Broken: err}, nil
	}
	news := next.use != now.use
	_ = now.Close()
	return plugin.Prepared{Closer: next, News: news}, nil
}

// inForce counts on what runs for a section; nil if nothing does.
func (g *Guests) inForce(key string) *Claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sections[key]
	if s == nil {
		return nil
	}
	u := s.uses[len(s.uses)-1]
	u.users++
	s.uses = append(s.uses, u)
	return &Claim{g, key, s, u}
}

// claim makes a use that is counted already the newest of a section.
func (g *Guests) claim(key string, u *use, files map[string]plugin.Stamp, broken error) *Claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.guest == nil {
		u.users++
	}
	s := g.sections[key]
	if s == nil {
		s = &section{}
		g.sections[key] = s
	}
	s.uses = append(s.uses, u)
	s.files, s.broken = files, broken
	return &Claim{g, key, s, u}
}

// broke notes that what was to be the next version of a section is not.
func (g *Guests) broke(s *section, files map[string]plugin.Stamp, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.files, s.broken = files, err
}
