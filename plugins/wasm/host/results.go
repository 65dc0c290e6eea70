package host

import "github.com/sluice-gateway/sluice/sdk/abi"

func resultRead(i *instance, s []uint64) uint64 {
	r, ok := i.results[int32(s[0])]
	off := uint64(uint32(s[1]))
	if !ok || off > uint64(len(r)) {
		return negative(abi.ErrArgument)
	}
	b := r[off:]
	b = b[:min(len(b), int(uint32(s[3])))]
	i.charge(len(b))
	if !i.module.Memory().Write(uint32(s[2]), b) {
		return negative(abi.ErrArgument)
	}
	return uint64(len(b))
}

func resultFree(i *instance, s []uint64) uint64 {
	delete(i.results, int32(s[0]))
	return 0
}

// How many results a guest may hold in a call, and their bytes together.
const (
	maxHandles = 8
	maxHeld    = 32 << 20
)

// hold keeps a result for the guest to read, and returns its handle and length.
func (i *instance) hold(b []byte) uint64 {
	all := len(b)
	for _, r := range i.results {
		all += len(r)
	}
	if len(i.results) >= maxHandles || all > maxHeld {
		return negative(abi.ErrTooLarge)
	}
	if i.results == nil {
		i.results = map[int32][]byte{}
	}
	i.handles = i.handles%(1<<30) + 1
	i.results[i.handles] = b
	return uint64(i.handles)<<32 | uint64(len(b))
}
