package plugin

import (
	"container/list"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Holds are the requests that wait now: for a move, a leader or a cluster. The zero value is ready.
type Holds struct {
	mu  sync.Mutex
	all list.List // of hold, by when they began to wait
}

type hold struct {
	key     kmsg.Key
	arrived time.Time
}

// Held is what waits now of an API.
type Held struct {
	Requests int
	Oldest   time.Time // arrival of the request that has waited for longest
}

// begin notes a request that waits until end is called. Nil Holds note nothing.
func (h *Holds) begin(key kmsg.Key, arrived time.Time) (end func()) {
	if h == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.all.PushBack(hold{key, arrived})
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all.Remove(e)
	}
}

// Now is what waits, by API. Parts of a request that wait each for themselves count each.
func (h *Holds) Now() map[kmsg.Key]Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[kmsg.Key]Held{}
	for e := h.all.Front(); e != nil; e = e.Next() {
		x := e.Value.(hold)
		now := out[x.key]
		if now.Requests++; now.Oldest.IsZero() || x.arrived.Before(now.Oldest) {
			now.Oldest = x.arrived
		}
		out[x.key] = now
	}
	return out
}
