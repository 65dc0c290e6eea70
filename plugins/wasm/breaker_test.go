package wasm

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// forgive makes a guest one that has never failed.
func forgive(g *Guest) {
	g.breakers.mu.Lock()
	defer g.breakers.mu.Unlock()
	clear(g.breakers.by)
}

// trial asks for a call that is let through.
func trial(t *testing.T, b *breakers, a about) admission {
	t.Helper()
	in, ok := b.admits(a, time.Now())
	if !ok {
		t.Fatal("not let through")
	}
	return in
}

func fails(t *testing.T, b *breakers, a about, times int) (last event) {
	t.Helper()
	for range times {
		last, _ = b.ended(a, trial(t, b, a), failed, time.Now())
	}
	return last
}

var one, other = about{client: "one", topic: "orders"}, about{client: "other", topic: "orders"}

// TestTheBreaker leaves a guest alone that fails too often, longer each time, and closes when it
// works.
func TestTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakers
		for i := range breakAfter {
			if e := fails(t, &b, one, 1); (e == opened) != (i == breakAfter-1) {
				t.Fatalf("failure %d: %d", i, e)
			}
			time.Sleep(time.Second)
		}
		for _, wait := range []time.Duration{2, 4, 8, 16, 32, 60, 60} { // the first second is over
			in := trial(t, &b, one)
			if _, ok := b.admits(one, time.Now()); ok {
				t.Fatal("more than one call is let through")
			}
			b.ended(one, in, failed, time.Now())
			time.Sleep(wait*time.Second - time.Millisecond)
			if _, ok := b.admits(one, time.Now()); ok {
				t.Errorf("let through before %d s", wait)
			}
			time.Sleep(time.Millisecond)
		}
		if e, _ := b.ended(one, trial(t, &b, one), worked, time.Now()); e != closed || b.left(time.Now()) != 0 {
			t.Errorf("still open: %d", e)
		}
		if b.Opened.Load() != 1 || b.Closed.Load() != 1 {
			t.Errorf("opened %d times, closed %d times", b.Opened.Load(), b.Closed.Load())
		}
		for range 20 { // one in a while is no reason
			fails(t, &b, one, 1)
			time.Sleep(3 * time.Second)
		}
		if b.left(time.Now()) > 0 {
			t.Error("open after failures far apart")
		}
	})
}

// TestABurstOpensTheBreakerOnce: calls that began before it opened, or before it closed, count for
// nothing more.
func TestABurstOpensTheBreakerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakers
		fails(t, &b, one, 1)
		var burst []admission
		for range 40 {
			burst = append(burst, trial(t, &b, one))
		}
		time.Sleep(time.Millisecond)
		for _, in := range burst[:20] {
			b.ended(one, in, failed, time.Now())
		}
		time.Sleep(breakFirst)
		in := trial(t, &b, one)
		for _, in := range burst[20:30] {
			b.ended(one, in, failed, time.Now())
		}
		b.ended(one, in, worked, time.Now())
		for _, in := range burst[30:] {
			b.ended(one, in, failed, time.Now())
		}
		if b.Opened.Load() != 1 || b.left(time.Now()) != 0 {
			t.Errorf("opened %d times, left alone %d", b.Opened.Load(), b.left(time.Now()))
		}
	})
}

// TestATrialThatComesToNothing is followed by another one at once.
func TestATrialThatComesToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakers
		fails(t, &b, one, breakAfter)
		time.Sleep(breakFirst)
		b.ended(one, trial(t, &b, one), undone, time.Now())
		trial(t, &b, one)
	})
}

// TestOthersDontSufferForOne: another client, another partition, another API.
func TestOthersDontSufferForOne(t *testing.T) {
	var b breakers
	fails(t, &b, one, breakAfter)
	partition, api, topic := one, one, one
	partition.partition, api.api, topic.topic = 1, 19, "other"
	for _, a := range []about{other, partition, api, topic} {
		trial(t, &b, a)
	}
	if _, ok := b.admits(one, time.Now()); ok {
		t.Error("it is not left alone")
	}
}

// TestBreakersAreBounded, and those whose clients have gone are forgotten.
func TestBreakersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breakers
		fails(t, &b, one, breakAfter)
		for i := range 2 * mostBreakers {
			fails(t, &b, about{client: fmt.Sprint(i)}, 1)
		}
		if len(b.by) > mostBreakers {
			t.Errorf("%d breakers", len(b.by))
		}
		time.Sleep(2 * breakMost)
		if left := b.left(time.Now()); left != 0 || len(b.by) != 0 || b.Opened.Load() != b.Closed.Load() {
			t.Errorf("%d left alone, %d breakers", left, len(b.by))
		}
	})
}
