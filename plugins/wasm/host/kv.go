package host

import (
	"bytes"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// storeFor says why a key of the store is out of reach, 0 if it is not.
func (c *call) storeFor(key []byte) int32 {
	switch {
	case c.guest.Store == nil || !c.guest.Grant.Covers(abi.CapKV):
		return abi.ErrDenied
	case len(key) > maxKey:
		return abi.ErrArgument
	}
	return 0
}

// KVGet reads a key.
func (c *call) KVGet(key []byte) ([]byte, int32) {
	if code := c.storeFor(key); code < 0 {
		return nil, code
	}
	v, ok := c.guest.Store.Get(key)
	if !ok {
		return nil, abi.ErrNone
	}
	return bytes.Clone(v), 0 // a plugin that is compiled in may change it
}

// KVSet sets a key.
func (c *call) KVSet(key, value []byte, ttl int64) int32 {
	code := c.storeFor(key)
	switch {
	case code < 0:
		return code
	case len(value) > maxValue:
		return abi.ErrTooLarge
	}
	return int32(c.guest.Store.Set(key, value, ttl))
}

// KVAdd adds to a key.
func (c *call) KVAdd(key []byte, delta, ttl int64) int64 {
	if code := c.storeFor(key); code < 0 {
		return int64(code)
	}
	return c.guest.Store.Add(key, delta, ttl)
}

// KVCas sets a key if its value is old.
func (c *call) KVCas(key, old, value []byte, ttl int64) int32 {
	code := c.storeFor(key)
	switch {
	case code < 0:
		return code
	case len(old) > maxValue, len(value) > maxValue:
		return abi.ErrTooLarge
	}
	return int32(c.guest.Store.CompareAndSet(key, old, old != nil, value, ttl))
}
