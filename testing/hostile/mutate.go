package hostile

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// counts lie about how much there is.
var counts = [][]byte{
	{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xfe}, {0x80, 0, 0, 0}, {0, 0, 0, 0}, {0, 0x10, 0, 0},
	{0x7f, 0xff}, {0xff, 0xff}, {0xff, 0xfe}, {0}, {0xff}, {0x80},
	{0xff, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0xff, 0x07}, {0x80, 0x80, 0x80, 0x80, 0x10}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
}

// Bytes returns a copy of a message of which something is wrong behind its first bytes: a count or
// a length, its end, what stands behind it, an order, a bit.
func Bytes(r *rand.Rand, message []byte, from int) []byte {
	from = min(from, len(message))
	at := from + r.IntN(len(message)-from+1)
	head, tail := slices.Clone(message[:at]), message[at:]
	lie := counts[r.IntN(len(counts))]
	switch r.IntN(8) {
	case 0: // over what is there
		return append(append(head, lie...), tail[min(len(lie), len(tail)):]...)
	case 1: // before it
		return append(append(head, lie...), tail...)
	case 2: // at the end
		return append(head, lie...)
	case 3: // too short
		return head
	case 4: // too long
		return append(append(head, tail...), make([]byte, 1+r.IntN(40))...)
	case 5: // as much as there is, and one more
		return append(append(head, binary.BigEndian.AppendUint32(nil, uint32(len(tail)-r.IntN(3)))...), tail...)
	case 6: // a part twice
		return append(append(head, tail[:r.IntN(len(tail)+1)]...), tail...)
	}
	if len(tail) > 0 { // a bit
		tail = slices.Clone(tail)
		tail[0] ^= 1 << r.IntN(8)
	}
	return append(head, tail...)
}

// Topic is the name of a topic that there is, to Fill.
const Topic = "orders"

// Field sets a field of a message, by its name, to what a test wants to have tried there; false
// leaves it to chance. Elements of a list have the name of the list.
type Field func(name string, v reflect.Value) bool

// Fill fills a message with what a client, or a broker, might send: names of a topic that there is
// or is not, small numbers, a few elements. field, unless it is nil, is asked first.
func Fill(r *rand.Rand, msg any, field Field) {
	f := filler{r, field}
	v := reflect.ValueOf(msg).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Name != "Version" {
			f.fill(v.Type().Field(i).Name, v.Field(i))
		}
	}
}

type filler struct {
	r     *rand.Rand
	field Field
}

func (f filler) fill(name string, v reflect.Value) {
	r := f.r
	if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
		if r.IntN(8) == 0 {
			tags.Set(1000+r.Uint32N(9), []byte("of the future"))
		}
		return
	}
	if f.field != nil && f.field(name, v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		if v.SetZero(); v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{})
			return
		}
		for range r.IntN(3) {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			last := v.Index(v.Len() - 1)
			if d, ok := last.Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
			f.fill(name, last)
		}
	case reflect.Pointer:
		if v.SetZero(); r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(name, v.Elem())
		}
	case reflect.String:
		v.SetString([]string{Topic, "unknown", "", "..", "a b"}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Array:
		v.Index(0).SetUint(r.Uint64N(3))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64N(4))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	default:
		if v.SetInt(r.Int64N(4) - 1); r.IntN(16) == 0 {
			v.SetInt([]int64{-2, 127, 1<<15 - 1, 1<<31 - 1, -1 << 31, 1<<63 - 1, -1 << 63}[r.IntN(7)])
		}
	}
}
