package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader walks the bytes of a module. Its first error stays; from then on it is at its end and
// every value is 0, so that callers look at the error once, when they are done.
type reader struct {
	b   []byte
	pos int // offset of the next byte
	end int
	err error
}

func (r *reader) fail(format string, args ...any) { r.failAt(r.pos, format, args...) }

func (r *reader) failAt(at int, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %#x: %s", at, fmt.Sprintf(format, args...))
	}
	r.pos = r.end
}

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail("unexpected end")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

// bytes returns the next n bytes, nil if there are fewer.
func (r *reader) bytes(n int) []byte {
	if n > r.end-r.pos {
		r.fail("unexpected end")
		return nil
	}
	r.pos += n
	return r.b[r.pos-n : r.pos]
}

// expect reads a byte that has one known value only, such as the index of the only memory.
func (r *reader) expect(want byte, what string) {
	if at, b := r.pos, r.byte(); b != want {
		r.failAt(at, "%s %#x is not supported", what, b)
	}
}

func (r *reader) u32() uint32 {
	at := r.pos
	var v uint32
	for shift := 0; ; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f { // the last byte has four bits of the number, and none follows it
			r.failAt(at, "a number of more than 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// signed reads a signed number of 32, 33 or 64 bits.
func (r *reader) signed(bits int) int64 {
	at := r.pos
	var v int64
	for shift := 0; ; shift += 7 {
		c := r.byte()
		part := int64(int8(c<<1) >> 1) // its seven bits, the upper one as the sign
		if left := bits - shift; left < 7 {
			if rest := part >> (left - 1); c >= 0x80 || rest != 0 && rest != -1 {
				r.failAt(at, "a number of more than %d bits", bits)
				return 0
			}
		}
		if c < 0x80 {
			return v | part<<shift
		}
		v |= (part & 0x7f) << shift
	}
}

// count reads how many elements follow. None has less than one byte, which bounds the work that a
// broken module can cause.
func (r *reader) count() uint32 {
	at := r.pos
	n := r.u32()
	if uint64(n) > uint64(r.end-r.pos) {
		r.failAt(at, "%d elements in %d bytes", n, r.end-r.pos)
		return 0
	}
	return n
}

func (r *reader) name() string {
	at := r.pos
	b := r.bytes(int(r.count()))
	if !utf8.Valid(b) {
		r.failAt(at, "a name that is not UTF-8")
	}
	return string(b)
}

func (r *reader) valueType() {
	switch at, b := r.pos, r.byte(); b {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f: // i32, i64, f32, f64, v128, funcref, externref
	default:
		r.failAt(at, "type %#x is not supported", b)
	}
}

func (r *reader) referenceType() {
	if at, b := r.pos, r.byte(); b != 0x70 && b != 0x6f {
		r.failAt(at, "reference type %#x is not supported", b)
	}
}

// limits refuses those of shared and 64 bit memories.
func (r *reader) limits() {
	at := r.pos
	flags := r.byte()
	if flags > 1 {
		r.failAt(at, "limits of kind %#x are not supported", flags)
	}
	r.u32()
	if flags == 1 {
		r.u32()
	}
}
