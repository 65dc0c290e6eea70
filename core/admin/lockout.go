package admin

import (
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	freeTries = 5 // wrong passwords before anybody waits
	firstWait = time.Second
	mostWait  = 5 * time.Minute
	forgotten = 15 * time.Minute // after the last wrong password
	mostTried = 1000             // callers that are remembered; past it, one that has tried least goes
)

// caller is who tries passwords: one name from one address, so that nobody locks out an operator
// elsewhere.
type caller struct{ address, name string }

// tried is what a caller has tried.
type tried struct {
	wrong int
	last  time.Time
	until time.Time
}

// lockout makes those wait who send wrong passwords, twice as long each time.
type lockout struct {
	mu  sync.Mutex
	all map[caller]*tried
}

func callerOf(r *http.Request, name string) caller {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return caller{host, name[:min(len(name), 100)]}
}

// waits is how long a caller has to wait before its password is looked at.
func (l *lockout) waits(c caller, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.all[c]; t != nil {
		return max(t.until.Sub(now), 0)
	}
	return 0
}

// wrong notes a wrong password, and returns for how long the caller is locked out by it.
func (l *lockout) wrong(c caller, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.all[c]
	if t == nil || now.Sub(t.last) > forgotten {
		l.room(now)
		t = &tried{}
		l.all[c] = t
	}
	t.wrong++
	t.last = now
	if t.wrong < freeTries {
		return 0
	}
	wait := min(firstWait<<min(t.wrong-freeTries, 20), mostWait)
	t.until = now.Add(wait)
	return wait
}

// room makes room for another caller.
func (l *lockout) room(now time.Time) {
	if l.all == nil {
		l.all = map[caller]*tried{}
	}
	if len(l.all) < mostTried {
		return
	}
	var least caller
	for c, t := range l.all {
		if now.Sub(t.last) > forgotten {
			delete(l.all, c)
		} else if o := l.all[least]; o == nil || t.wrong < o.wrong || t.wrong == o.wrong && t.last.Before(o.last) {
			least = c
		}
	}
	if len(l.all) >= mostTried {
		delete(l.all, least)
	}
}

func (l *lockout) right(c caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}
