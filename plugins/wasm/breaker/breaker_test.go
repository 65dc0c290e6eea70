package breaker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// trial asks for a call that is let through.
func trial(t *testing.T, b *Breakers, a About) Admission {
	t.Helper()
	in, ok := b.Admits(a, time.Now())
	if !ok {
		t.Fatal("not let through")
	}
	return in
}

func fails(t *testing.T, b *Breakers, a About, times int) (last Event) {
	t.Helper()
	for range times {
		last, _ = b.Ended(a, trial(t, b, a), Failed, time.Now())
	}
	return last
}

var one, other = About{Client: "one", Topic: "orders"}, About{Client: "other", Topic: "orders"}

// TestTheBreaker leaves a guest alone that fails too often, longer each time, and closes when it
// works.
func TestTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		for i := range After {
			if e := fails(t, &b, one, 1); (e == Opened) != (i == After-1) {
				t.Fatalf("failure %d: %d", i, e)
			}
			time.Sleep(time.Second)
		}
		for _, wait := range []time.Duration{2, 4, 8, 16, 32, 60, 60} { // the first second is over
			in := trial(t, &b, one)
			if _, ok := b.Admits(one, time.Now()); ok {
				t.Fatal("more than one call is let through")
			}
			b.Ended(one, in, Failed, time.Now())
			time.Sleep(wait*time.Second - time.Millisecond)
			if _, ok := b.Admits(one, time.Now()); ok {
				t.Errorf("let through before %d s", wait)
			}
			time.Sleep(time.Millisecond)
		}
		if e, _ := b.Ended(one, trial(t, &b, one), Worked, time.Now()); e != Closed || b.Left(time.Now()) != 0 {
			t.Errorf("still open: %d", e)
		}
		if b.Opened.Load() != 1 || b.Closed.Load() != 1 {
			t.Errorf("opened %d times, closed %d times", b.Opened.Load(), b.Closed.Load())
		}
		for range 20 { // one in a while is no reason
			fails(t, &b, one, 1)
			time.Sleep(3 * time.Second)
		}
		if b.Left(time.Now()) > 0 {
			t.Error("open after failures far apart")
		}
	})
}

// TestABurstOpensTheBreakerOnce: calls that began before it opened, or before it closed, count for
// nothing more.
func TestABurstOpensTheBreakerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		fails(t, &b, one, 1)
		var burst []Admission
		for range 40 {
			burst = append(burst, trial(t, &b, one))
		}
		time.Sleep(time.Millisecond)
		for _, in := range burst[:20] {
			b.Ended(one, in, Failed, time.Now())
		}
		time.Sleep(First)
		in := trial(t, &b, one)
		for _, in := range burst[20:30] {
			b.Ended(one, in, Failed, time.Now())
		}
		b.Ended(one, in, Worked, time.Now())
		for _, in := range burst[30:] {
			b.Ended(one, in, Failed, time.Now())
		}
		if b.Opened.Load() != 1 || b.Left(time.Now()) != 0 {
			t.Errorf("opened %d times, left alone %d", b.Opened.Load(), b.Left(time.Now()))
		}
	})
}

// TestWhatWorksIsNoFailure, nor is what never came to be, also where one has failed before.
func TestWhatWorksIsNoFailure(t *testing.T) {
	var b Breakers
	fails(t, &b, one, After-1)
	for _, how := range []Outcome{Worked, Undone} {
		for range After {
			b.Ended(one, trial(t, &b, one), how, time.Now())
		}
		if n := b.Left(time.Now()); n != 0 {
			t.Errorf("the guest is left alone with %d after the outcome %d", n, how)
		}
	}
}

// TestATrialThatComesToNothing is followed by another one at once.
func TestATrialThatComesToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		fails(t, &b, one, After)
		time.Sleep(First)
		b.Ended(one, trial(t, &b, one), Undone, time.Now())
		trial(t, &b, one)
	})
}

// TestOthersDontSufferForOne: another client, another partition, another API.
func TestOthersDontSufferForOne(t *testing.T) {
	var b Breakers
	fails(t, &b, one, After)
	partition, api, topic := one, one, one
	partition.Partition, api.API, topic.Topic = 1, 19, "other"
	for _, a := range []About{other, partition, api, topic} {
		trial(t, &b, a)
	}
	if _, ok := b.Admits(one, time.Now()); ok {
		t.Error("it is not left alone")
	}
}

// TestBreakersAreBounded, and those whose clients have gone are forgotten.
func TestBreakersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		fails(t, &b, one, After)
		for i := range mostKept + 100 {
			fails(t, &b, About{Client: fmt.Sprint(i)}, 1)
		}
		if len(b.by) > mostKept {
			t.Errorf("%d breakers", len(b.by))
		}
		time.Sleep(2 * most)
		if left := b.Left(time.Now()); left != 0 || len(b.by) != 0 || b.Opened.Load() != b.Closed.Load() {
			t.Errorf("%d left alone, %d breakers", left, len(b.by))
		}
	})
}
