// Package letters is what the guest and the native interceptor of the benchmark do to values.
package letters

import "encoding/binary"

const each = 0x0101010101010101 // a byte in each place

// Upper makes letters from a to z upper case where they stand, eight bytes at a time: in WASM it is
// steps that cost, not their width.
func Upper(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		low := w & (0x7f * each)
		lower := (low + (0x80-'a')*each) &^ (low + (0x7f-'z')*each) &^ w & (0x80 * each) // high bits of places with a to z
		binary.LittleEndian.PutUint64(b, w^lower>>2)
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
}
