package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAJoinThatNobodyWaitsForHoldsUpNothing: a broker answers in order, and a join when the others
// have joined, which may be never. What its session asks next does not wait behind it.
func TestAJoinThatNobodyWaitsForHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		never := make(chan struct{})
		defer close(never)
		f.all(func(b *broker) {
			b.on = times(1, kmsg.JoinGroup, func(*arrived) bool { <-never; return true })
		})
		s := session(t, 0)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := e.Handle(ctx, request(s, newest(kmsg.JoinGroup)))
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("the join ends with %v", err)
		}
		began := time.Now()
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil || time.Since(began) > time.Second {
			t.Errorf("the next request: %v after %s", err, time.Since(began))
		}
	})
}
