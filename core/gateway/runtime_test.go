package gateway

import (
	"testing"

	"github.com/sluice-gateway/sluice/core/guard"
)

type closer struct{ closed chan struct{} }

func (c closer) Close() error { close(c.closed); return nil }

// TestARuntimeIsClosedWithItsLastRequest, not before.
func TestARuntimeIsClosedWithItsLastRequest(t *testing.T) {
	var closing guard.Group
	v := &virtual{name: "vc", closing: &closing}
	first, second := &runtime{virtual: v, refs: 1}, &runtime{virtual: v, refs: 1}
	first.server.Owner, second.server.Owner = first, second
	c := closer{make(chan struct{})}
	first.closers = append(first.closers, c)
	v.swap(first)
	open := func(when string) {
		t.Helper()
		closing.Wait()
		select {
		case <-c.closed:
			t.Fatalf("closed %s", when)
		default:
		}
	}
	v.Release(v.Acquire())
	open("after a request")
	running := v.Acquire()
	v.swap(second)
	v.release(first)
	open("while a request runs")
	if v.Acquire() != &second.server {
		t.Error("a new request runs on the old runtime")
	}
	v.Release(running)
	closing.Wait()
	select {
	case <-c.closed:
	default:
		t.Error("never closed")
	}
}
