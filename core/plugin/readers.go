package plugin

import (
	"io"
	"net"
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

// reader is what one session reads.
type reader struct {
	all     *Readers
	session *Session
	mu      sync.Mutex
	at      map[topicPartition]position
}

// Note says that a session fetches from a virtual offset now.
func (r *Readers) Note(s *Session, topic string, partition int32, offset int64, now time.Time) {
	own, _ := s.attachedAs(readerKey{}).(*reader)
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

func (r *Readers) open(s *Session) io.Closer {
	own := &reader{all: r, session: s, at: map[topicPartition]position{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil {
		r.sessions = map[*reader]struct{}{}
	}
	r.sessions[own] = struct{}{}
	return own
}

// wake answers the requests that wait for what has moved. Of those of a client, the one that it asked last is answered first: a
// client may cut its other fetches short when it is told of a new leader (franz-go does), and then it should be the fetch that
// waits for records at the new leader that has some, not one that keeps the others waiting there.
func (r *Readers) wake() {
	r.mu.Lock()
	all := make([]*Session, 0, len(r.sessions))
	for own := range r.sessions {
		all = append(all, own.session)
	}
	r.mu.Unlock()
	type client struct{ id, host string }
	woken := map[client][]*Walk{}
	for _, s := range all {
		if s.GiveUp == nil {
			continue
		}
		for _, w := range s.GiveUp() {
			c := client{w.Req.ClientID, host(s.Remote)}
			woken[c] = append(woken[c], w)
		}
	}
	for _, list := range woken {
		slices.SortStableFunc(list, func(a, b *Walk) int { return b.Req.Arrived.Compare(a.Req.Arrived) })
		guard.Go(func() {
			for _, w := range list {
				w.Run()
			}
		})
	}
}

// host is the address of a client without its port.
func host(a net.Addr) string {
	if a == nil {
		return ""
	}
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// Close forgets the session.
func (r *reader) Close() error {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	delete(r.all.sessions, r)
	return nil
}

// Lowest is the lowest virtual offset, per partition, that a session has fetched from since a time. What
// is older belongs to a consumer that reads other partitions now, and is forgotten.
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
