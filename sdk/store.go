package sdk

import (
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Get returns the value of a key of the plugin's store, nil if there is none.
func (g *Gateway) Get(key string) ([]byte, error) {
	v, code := g.host.KVGet([]byte(key))
	if code == abi.ErrNone {
		return nil, nil
	}
	return v, hostError(code)
}

// Set sets a key; it is forgotten after ttl, 0 is never.
func (g *Gateway) Set(key string, value []byte, ttl time.Duration) error {
	return hostError(g.host.KVSet([]byte(key), value, ttl.Milliseconds()))
}

// Add adds to a counter and returns the sum. A new one begins at 0 and is forgotten after ttl, 0 is
// never.
func (g *Gateway) Add(key string, delta int64, ttl time.Duration) (int64, error) {
	n := g.host.KVAdd([]byte(key), delta, ttl.Milliseconds())
	if n < 0 {
		return 0, hostError(int32(n))
	}
	return n, nil
}

// CompareAndSet sets a key if its value is old, nil for none, and returns ErrChanged otherwise.
func (g *Gateway) CompareAndSet(key string, old, value []byte, ttl time.Duration) error {
	err := hostError(g.host.KVCas([]byte(key), old, value, ttl.Milliseconds()))
	if errors.Is(err, ErrDenied) {
		return ErrChanged
	}
	return err
}
