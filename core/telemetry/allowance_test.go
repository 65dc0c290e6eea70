package telemetry

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAnAllowance is whole at first, grows with time, and is never more than a second's.
func TestAnAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAllowance(10)
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 10}, {0, 0}, {500 * time.Millisecond, 5}, {50 * time.Millisecond, 0}, {50 * time.Millisecond, 1}, {time.Hour, 10}} {
			time.Sleep(step.after)
			n := 0
			for b.allow() {
				n++
			}
			if n != step.want {
				t.Errorf("after %s: %d events, want %d", step.after, n, step.want)
			}
		}
	})
}
