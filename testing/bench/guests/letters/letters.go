// Package letters is what the guest and the native interceptor of the benchmark do to values.
package letters

import "encoding/binary"

const each = 0x0101010101010101 // a byte in each place

// Upper makes letters from a to z upper case where they stand, eight bytes at a time, and four
// times that in a turn. In WASM it is steps that cost, not their width, and turns of a loop more
// than others.
func Upper(b []byte) {
	for ; len(b) >= 32; b = b[32:] {
		p := (*[32]byte)(b)
		w0, w1 := binary.LittleEndian.Uint64(p[0:]), binary.LittleEndian.Uint64(p[8:])
		w2, w3 := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		binary.LittleEndian.PutUint64(p[0:], upper(w0))
		binary.LittleEndian.PutUint64(p[8:], upper(w1))
		binary.LittleEndian.PutUint64(p[16:], upper(w2))
		binary.LittleEndian.PutUint64(p[24:], upper(w3))
	}
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, upper(binary.LittleEndian.Uint64(b)))
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
}

// upper does it to eight bytes.
func upper(w uint64) uint64 {
	low := w & (0x7f * each)
	lower := (low + (0x80-'a')*each) &^ (low + (0x7f-'z')*each) &^ w & (0x80 * each) // high bits of places with a to z
	return w ^ lower>>2
}
