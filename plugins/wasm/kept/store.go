// Package kept is what a guest keeps over its instances and versions: a store and metrics.
package kept

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Store is the key-value store of a guest: in the memory of this process, for all of its instances
// and versions.
type Store struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	values map[string]stored
	swept  time.Time
}

type stored struct {
	b   []byte
	end time.Time // zero: never
}

// NewStore returns a store that holds limit bytes of keys and values.
func NewStore(limit int64) *Store { return &Store{limit: limit, values: map[string]stored{}} }

// Resize changes how much it holds; what is there stays.
func (s *Store) Resize(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// perKey is what a key costs besides its bytes.
const perKey = 64

func (s *Store) remove(key string) {
	if v, ok := s.values[key]; ok {
		s.used -= int64(len(key)+len(v.b)) + perKey
		delete(s.values, key)
	}
}

// live finds a value that has not ended.
func (s *Store) live(key []byte) (stored, bool) {
	v, ok := s.values[string(key)]
	if ok && !v.end.IsZero() && !time.Now().Before(v.end) {
		s.remove(string(key))
		return stored{}, false
	}
	return v, ok
}

// put sets a value, and first forgets what has ended if there is no room.
func (s *Store) put(key []byte, v stored) int64 {
	s.remove(string(key))
	size := int64(len(key)+len(v.b)) + perKey
	if s.used+size > s.limit {
		if now := time.Now(); now.Sub(s.swept) > time.Second {
			s.swept = now
			for k, old := range s.values {
				if !old.end.IsZero() && !now.Before(old.end) {
					s.remove(k)
				}
			}
		}
		if s.used+size > s.limit {
			return abi.ErrTooLarge
		}
	}
	s.values[string(key)] = v
	s.used += size
	return 0
}

func ending(ttl int64) time.Time {
	if ttl <= 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(ttl) * time.Millisecond)
}

// Get returns a value.
func (s *Store) Get(key []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.live(key)
	return v.b, ok
}

// Set sets a value; it ends after ttl milliseconds, 0 is never. It returns 0 or an error number.
func (s *Store) Set(key, b []byte, ttl int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(key, stored{bytes.Clone(b), ending(ttl)})
}

// Add adds to a number and returns the sum, or an error number.
func (s *Store) Add(key []byte, delta, ttl int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.live(key)
	var n int64
	if ok {
		if len(v.b) != 8 {
			return abi.ErrArgument
		}
		n = int64(binary.LittleEndian.Uint64(v.b))
	} else {
		v.end = ending(ttl)
	}
	if n += delta; n < 0 {
		return abi.ErrArgument
	}
	v.b = binary.LittleEndian.AppendUint64(nil, uint64(n))
	if code := s.put(key, v); code < 0 {
		return code
	}
	return n
}

// CompareAndSet sets a value if the one before is old, or, with there false, if there is none.
func (s *Store) CompareAndSet(key, old []byte, there bool, b []byte, ttl int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.live(key); ok != there || !bytes.Equal(v.b, old) {
		return abi.ErrDenied
	}
	return s.put(key, stored{bytes.Clone(b), ending(ttl)})
}

// Used is the number of bytes that keys and values take.
func (s *Store) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
