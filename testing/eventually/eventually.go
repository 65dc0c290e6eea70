// Package eventually waits in tests for what must come, however busy the machine is.
package eventually

import (
	"context"
	"testing"
	"time"
)

// Limit is how long a test waits for what must come. It only ends what hangs: no test measures time
// with it.
const Limit = 5 * time.Minute

// True waits until a condition holds, and is false if it never does.
func True(cond func() bool) bool {
	for end := time.Now().Add(Limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Context lasts for a whole test and what the test cleans up by then.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Limit)
	t.Cleanup(cancel)
	return ctx
}
