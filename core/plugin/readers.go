package plugin

import (
	"io"
	"sync"
	"time"
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

// wake asks the requests of all sessions that wait for an answer whether they still should.
func (r *Readers) wake() {
	r.mu.Lock()
	all := make([]*Session, 0, len(r.sessions))
	for own := range r.sessions {
		all = append(all, own.session)
	}
	r.mu.Unlock()
	for _, s := range all {
		if s.Wake != nil {
			s.Wake()
		}
	}
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
