package letters

import (
	"bytes"
	"testing"
)

// TestUpper changes letters and no other byte, wherever they stand in a word.
func TestUpper(t *testing.T) {
	for shift := range 8 {
		in := make([]byte, shift, 300)
		for c := range 256 {
			in = append(in, byte(c))
		}
		var want []byte
		for _, c := range in {
			if c >= 'a' && c <= 'z' {
				c -= 32
			}
			want = append(want, c)
		}
		if Upper(in); !bytes.Equal(in, want) {
			t.Errorf("shift %d: %q, want %q", shift, in, want)
		}
	}
}
