package eventually

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTrueReturnsWhenItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(Limit - time.Second)
		if !True(func() bool { return time.Now().After(at) }) {
			t.Error("it held in time")
		}
	})
}

func TestWhatNeverHoldsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if True(func() bool { return false }) {
			t.Error("it never held")
		}
	})
}
