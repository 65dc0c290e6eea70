package telemetry

import (
	"sync"
	"time"
)

// allowance lets through so many events per second, and no more than that at once.
type allowance struct {
	perSecond float64

	mu   sync.Mutex
	left float64
	at   time.Time // when left was right
}

func newAllowance(perSecond float64) *allowance {
	return &allowance{perSecond: perSecond, left: perSecond, at: time.Now()}
}

// allow reports whether one more event may pass, and counts it.
func (b *allowance) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.left = min(b.left+now.Sub(b.at).Seconds()*b.perSecond, b.perSecond)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
