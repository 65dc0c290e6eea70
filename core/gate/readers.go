package gate

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Readers knows where the sessions of a virtual cluster read: a planned move compares what they may
// still read, also for consumers that commit nowhere.
type Readers struct {
	mu       sync.Mutex
	sessions map[*reader]struct{}
}

type readerKey struct{}

type topicPartition struct {
	topic     string
	partition int32
}

type position struct {
	offset int64
	at     time.Time
}

// Session is a client's connection, as far as it reads.
type Session interface {
	// Attach keeps what open returns until the session ends; nil if it has.
	Attach(key any, open func() io.Closer) io.Closer
	// Attached is what is kept under a key; nil if nothing is.
	Attached(key any) io.Closer
	// GivenUp takes the requests out of flight that wait for what has moved.
	GivenUp() []GivenUp
}

// GivenUp is a request that waits no longer, and is answered by Run.
type GivenUp interface {
	Run()
	// Client is the id and host of its client, and Arrival when it was read.
	Client() (id, host string)
	Arrival() time.Time
}

// reader is what one session reads.
type reader struct {
	all     *Readers
	session Session
	mu      sync.Mutex
	at      map[topicPartition]position
}

// Note says that a session fetches from a virtual offset now.
func (r *Readers) Note(s Session, topic string, partition int32, offset int64, now time.Time) {
	own, _ := s.Attached(readerKey{}).(*reader)
	if own == nil {
		own, _ = s.Attach(readerKey{}, func() io.Closer { return r.open(s) }).(*reader)
	}
	if own == nil {
		return
	}
	own.mu.Lock()
	own.at[topicPartition{topic, partition}] = position{offset, now}
	own.mu.Unlock()
}

func (r *Readers) open(s Session) io.Closer {
	own := &reader{all: r, session: s, at: map[topicPartition]position{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = map[*reader]struct{}{}
	}
	r.sessions[own] = struct{}{}
	return own
}

// wake answers the requests that wait for what has moved. Of those of a client, the one that it
// asked last is answered first: a client may cut its other fetches short when it is told of a new
// leader (franz-go does), and then it should be the fetch that waits for records at the new leader
// that has some, not one that keeps the others waiting there.
func (r *Readers) wake() {
	r.mu.Lock()
	all := make([]Session, 0, len(r.sessions))
	for own := range r.sessions {
		all = append(all, own.session)
	}
	r.mu.Unlock()
	type client struct{ id, host string }
	woken := map[client][]GivenUp{}
	for _, s := range all {
		for _, w := range s.GivenUp() {
			id, host := w.Client()
			woken[client{id, host}] = append(woken[client{id, host}], w)
		}
	}
	for _, list := range woken {
		slices.SortStableFunc(list, func(a, b GivenUp) int { return b.Arrival().Compare(a.Arrival()) })
		guard.Go(func() {
			for _, w := range list {
				w.Run()
			}
		})
	}
}

// Close forgets the session.
func (r *reader) Close() error {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	delete(r.all.sessions, r)
	return nil
}

// Lowest is the lowest virtual offset, per partition, that a session has fetched from since a time.
// What is older belongs to a consumer that reads other partitions now, and is forgotten.
func (r *Readers) Lowest(topic string, since time.Time) map[int32]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[int32]int64{}
	for own := range r.sessions {
		own.mu.Lock()
		for k, p := range own.at {
			if p.at.Before(since) {
				delete(own.at, k)
				continue
			}
			if o, ok := out[k.partition]; k.topic == topic && p.offset >= 0 && (!ok || p.offset < o) {
				out[k.partition] = p.offset
			}
		}
		own.mu.Unlock()
	}
	return out
}
