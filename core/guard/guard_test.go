package guard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPanicEndsItsGoroutineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := Panics()
		var g Group
		g.Go(func() { panic("one") })
		g.Wait()
		Go(func() { panic("two") })
		After(time.Second, func() { panic("three") })
		time.Sleep(time.Second) // of the fake clock
		synctest.Wait()
		if n := Panics() - before; n != 3 {
			t.Errorf("%d panics", n)
		}
	})
}

func TestCatchSaysWhatHappened(t *testing.T) {
	if err := Catch(func() { panic("here") }); err == nil || err.Error() != "panic: here" {
		t.Errorf("%v", err)
	}
	if err := Catch(func() {}); err != nil {
		t.Errorf("%v", err)
	}
}

func TestKeepBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		Keep(ctx, func() {
			if runs++; runs < 3 {
				panic("again")
			}
		})
		if runs != 3 {
			t.Errorf("%d runs", runs)
		}
		cancel()
		Keep(ctx, func() {
			runs++
			panic("once more")
		})
		if runs != 4 {
			t.Errorf("%d runs, also behind the end of the context", runs)
		}
	})
}

// TestAGroupMayGrowWhileSomebodyWaits.
func TestAGroupMayGrowWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		g.Wait()
		first, second := make(chan struct{}), make(chan struct{})
		g.Go(func() { <-first })
		waited := make(chan struct{})
		go func() {
			g.Wait()
			close(waited)
		}()
		synctest.Wait()
		g.Go(func() { <-second })
		close(first)
		synctest.Wait()
		select {
		case <-waited:
			t.Error("it has not waited for the second")
		default:
		}
		close(second)
		<-waited
	})
}
