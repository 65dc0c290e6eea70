package gateway

import (
	"testing"
	"time"
)

type closer struct{ closed chan struct{} }

func (c closer) Close() error { close(c.closed); return nil }

// TestARuntimeIsClosedWithItsLastRequest, not before, and the first one of a virtual cluster not when it
// becomes current.
func TestARuntimeIsClosedWithItsLastRequest(t *testing.T) {
	first, second := &runtime{refs: 1}, &runtime{}
	first.server.Owner, second.server.Owner = first, second
	c := closer{make(chan struct{})}
	first.closers = append(first.closers, c)
	v := &virtual{name: "vc", current: first}
	v.swap(first)
	open := func(when string) {
		t.Helper()
		select {
		case <-c.closed:
			t.Fatalf("closed %s", when)
		case <-time.After(20 * time.Millisecond):
		}
	}
	open("when it became current")
	v.Release(v.Acquire())
	open("after a request")
	running := v.Acquire()
	v.swap(second)
	open("while a request runs")
	if v.Acquire() != &second.server {
		t.Error("a new request runs on the old runtime")
	}
	v.Release(running)
	select {
	case <-c.closed:
	case <-time.After(5 * time.Second):
		t.Error("never closed")
	}
}
