package wasm

import "github.com/sluice-gateway/sluice/sdk/abi"

// key is a key of the store, or an error number.
func (i *instance) key(at, n uint64) ([]byte, int64) {
	if i.guest.store == nil || !contains(i.guest.Grant, abi.CapKV) {
		return nil, abi.ErrDenied
	}
	k, ok := i.bytes32(at, n, maxKey)
	if !ok {
		return nil, abi.ErrArgument
	}
	return k, 0
}

func kvGet(i *instance, s []uint64) uint64 {
	k, code := i.key(s[0], s[1])
	if code < 0 {
		return negative(code)
	}
	v, ok := i.guest.store.Get(k)
	if !ok {
		return negative(abi.ErrNone)
	}
	return i.fill(v, s[2], s[3])
}

func kvSet(i *instance, s []uint64) uint64 {
	k, code := i.key(s[0], s[1])
	if code < 0 {
		return negative(code)
	}
	v, ok := i.bytes32(s[2], s[3], maxValue)
	if !ok {
		return negative(abi.ErrTooLarge)
	}
	return negative(i.guest.store.Set(k, v, int64(s[4])))
}

func kvAdd(i *instance, s []uint64) uint64 {
	k, code := i.key(s[0], s[1])
	if code < 0 {
		return negative(code)
	}
	return negative(i.guest.store.Add(k, int64(s[2]), int64(s[3])))
}

func kvCas(i *instance, s []uint64) uint64 {
	k, code := i.key(s[0], s[1])
	if code < 0 {
		return negative(code)
	}
	var old []byte
	ok := true
	if int32(s[3]) >= 0 {
		old, ok = i.bytes32(s[2], s[3], maxValue)
	}
	v, ok2 := i.bytes32(s[4], s[5], maxValue)
	if !ok || !ok2 {
		return negative(abi.ErrTooLarge)
	}
	return negative(i.guest.store.CompareAndSet(k, old, int32(s[3]) >= 0, v, int64(s[6])))
}
