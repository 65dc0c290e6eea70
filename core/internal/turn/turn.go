// Package turn is the right of a request to be the next of its session, or of a gate's queue, that
// is put on links: requests run at once and leave in the order in which they came.
//
// The chain keeps it: all copies of a request share one turn, its forks share it out among them,
// and it is given on when the request is queued somewhere in order (on a link, in a gate), when it
// begins to wait, and at the latest when the step of the chain that it is in returns, however it
// does. That this package is internal to core, and that a Turn has no methods, keeps interceptors
// from giving a turn on too early, and from having to remember to.
package turn

import "sync/atomic"

// Turn is the turn of one request and its copies, or the share that a fork has in one. The zero
// value is no turn.
type Turn struct {
	pass  func()       // lets the next one go
	left  atomic.Int32 // shares that are held
	state atomic.Int32
}

const (
	none int32 = iota
	held
	given
)

// Begin makes t a turn that is held; pass is called once, when it is given on. A turn that was
// given on can begin again: a gate that a request has waited in gives it the gate's turn.
func Begin(t *Turn, pass func()) {
	t.pass = pass
	t.state.Store(held)
}

// Held reports whether t is still to be given on; a nil one is not.
func Held(t *Turn) bool { return t != nil && t.state.Load() == held }

// Give gives t on. Who does so again, or has no turn, changes nothing.
func Give(t *Turn) {
	if Held(t) && t.state.CompareAndSwap(held, given) {
		t.pass()
	}
}

// Share divides t among n turns, which the caller begins with pass: t is given on when all of them
// are. Without a turn to divide, pass is nil.
func Share(t *Turn, n int) (pass func()) {
	if !Held(t) {
		return nil
	}
	t.left.Add(int32(n))
	return func() {
		if t.left.Add(-1) == 0 {
			Give(t)
		}
	}
}
