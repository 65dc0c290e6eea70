package kafka

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type decoded interface {
	kmsgMessage
	ReadFrom(b []byte) error
}

// eachMessage runs f for both directions of every API and version that kmsg knows.
func eachMessage(t *testing.T, f func(t *testing.T, api API, version int16, request bool, fresh func() decoded)) {
	t.Helper()
	for _, api := range APIs() {
		if kmsg.RequestForKey(int16(api.Key)) == nil {
			continue
		}
		for version := range api.MaxVersion + 1 {
			f(t, api, version, true, func() decoded {
				m := kmsg.RequestForKey(int16(api.Key))
				m.SetVersion(version)
				return m
			})
			f(t, api, version, false, func() decoded {
				m := kmsg.ResponseForKey(int16(api.Key))
				m.SetVersion(version)
				return m
			})
		}
	}
}

// scramble fills a value of a message; tags are how likely a struct gets a tagged field that kmsg
// does not know.
func scramble(r *rand.Rand, v reflect.Value, tags float64, top bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if list, ok := f.Addr().Interface().(*kmsg.Tags); ok {
				if r.Float64() < tags {
					list.Set(50+r.Uint32N(1000), make([]byte, r.IntN(200)))
				}
			} else if !top || v.Type().Field(i).Name != "Version" {
				scramble(r, f, tags, false)
			}
		}
	case reflect.Slice:
		v.SetZero()
		for range r.IntN(4) {
			v.Set(reflect.Append(v, fresh(v.Type().Elem())))
			scramble(r, v.Index(v.Len()-1), tags, false)
		}
	case reflect.Pointer:
		if v.SetZero(); r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			scramble(r, v.Elem(), tags, false)
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		v.SetString("abcdefgh"[:r.IntN(8)])
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(r.Uint32()))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.Array:
		for i := range v.Len() {
			scramble(r, v.Index(i), tags, false)
		}
	default:
		v.SetInt(int64(r.Uint64()))
	}
}

// TestWhatKmsgEncodesPasses: a walk ends where kmsg's encoding does, in every API and version, and
// knows whether there are tags that kmsg does not know.
func TestWhatKmsgEncodesPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		for i := range 8 {
			m, plain := fresh(), fresh()
			if i > 0 {
				scramble(r, reflect.ValueOf(m).Elem(), 0, true)
			}
			raw := m.AppendTo(nil)
			if end, unknown, err := check(api.Key, version, request, raw); err != nil || end != len(raw) || unknown {
				t.Fatalf("%s version %d request %t: %d of %d bytes, unknown tags %t: %v\n%x\n%+v", api.Name, version, request, end, len(raw), unknown, err, raw, m)
			}
			if err := plain.ReadFrom(raw); err != nil {
				t.Fatalf("%s version %d: kmsg: %v", api.Name, version, err)
			}
			scramble(r, reflect.ValueOf(m).Elem(), 1, true)
			raw = m.AppendTo(nil)
			if end, unknown, err := check(api.Key, version, request, raw); err != nil || end != len(raw) || unknown != m.IsFlexible() {
				t.Fatalf("%s version %d request %t with tags: %d of %d bytes, unknown tags %t: %v\n%x", api.Name, version, request, end, len(raw), unknown, err, raw)
			}
		}
	})
}

// lies are counts and lengths that are put over the bytes of a message.
func lies(left int) [][]byte {
	out := [][]byte{
		{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xfe}, {0x80, 0, 0, 0}, {0x7f, 0xff}, {0xff, 0xfe},
		{0xff, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0xff, 0x07}, {0x80, 0x80, 0x80, 0x80, 0x10}, {0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		{0xff, 0xff, 0x03},
	}
	for n := left - 3; n <= left+2; n++ {
		if n >= 0 {
			out = append(out, binary.BigEndian.AppendUint32(nil, uint32(n)), binary.AppendUvarint(nil, uint64(n)+1))
		}
	}
	return out
}

// TestLiesAreCheap puts counts that lie over every offset of every message. What a walk lets
// through, kmsg decodes in an amount of memory that the size of the message bounds; there is no
// other way to kmsg.
func TestLiesAreCheap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var before, after runtime.MemStats
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		if version != api.MaxVersion && version != api.flexibleFrom-1 && r.IntN(16) > 0 {
			return // every layout is walked above; every API is lied about in both encodings
		}
		m := fresh()
		scramble(r, reflect.ValueOf(m).Elem(), 0.3, true)
		raw := m.AppendTo(nil)
		runtime.ReadMemStats(&before)
		frames, size := 0, 0
		for at := 0; at <= len(raw); at += 1 + len(raw)/32 {
			for _, lie := range lies(len(raw) - at) {
				for _, bad := range [][]byte{
					append(append(append([]byte{}, raw[:at]...), lie...), raw[min(at+len(lie), len(raw)):]...), // over what is there
					append(append(append([]byte{}, raw[:at]...), lie...), raw[at:]...),                         // before it
					append(append([]byte{}, raw[:at]...), lie...),                                              // at the end
				} {
					frames, size = frames+1, size+len(bad)
					steps(t, api, version, request, bad)
					_ = decode(api.Key, version, request, bad, false, fresh().ReadFrom)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(frames*4096+64*size); got > most {
			t.Errorf("%s version %d request %t: %d frames of %d bytes took %d bytes, at most %d", api.Name, version, request, frames, size, got, most)
		}
	})
}

// steps fails if a walk goes on behind what it has found to be wrong.
func steps(t *testing.T, api API, version int16, request bool, body []byte) {
	t.Helper()
	end, _, err := check(api.Key, version, request, body)
	if end > len(body) {
		t.Fatalf("%s version %d request %t: read to %d of %d bytes (%v)", api.Name, version, request, end, len(body), err)
	}
}

// TestBombsAreRefused has the smallest inputs that loop or allocate for what a count says.
func TestBombsAreRefused(t *testing.T) {
	body := func(parts ...any) (b []byte) {
		for _, p := range parts {
			switch p := p.(type) {
			case string:
				b = append(binary.AppendUvarint(b, uint64(len(p))+1), p...)
			case []byte:
				b = append(b, p...)
			case int:
				b = binary.BigEndian.AppendUint32(b, uint32(p))
			}
		}
		return b
	}
	most := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, c := range map[string]struct {
		key     kmsg.Key
		version int16
		request bool
		body    []byte
	}{
		"the number of tags":                    {kmsg.ApiVersions, 3, true, body("", "", most)},
		"the number of tags in a response":      {kmsg.ApiVersions, 3, false, body([]byte{0, 0, 1, 0, 0, 0, 0}, most)},
		"the tags of an element":                {kmsg.ApiVersions, 3, false, body([]byte{0, 0, 2, 0, 18, 0, 0, 0, 4}, most)},
		"an array":                              {kmsg.Metadata, 1, true, body(1<<31 - 1)},
		"a compact array":                       {kmsg.Metadata, 9, true, body(most)},
		"elements larger than what is left":     {kmsg.OffsetFetch, 0, true, append([]byte{0, 1, 'g', 0, 0, 0, 9}, make([]byte, 9)...)},
		"tags out of order":                     {kmsg.ApiVersions, 3, true, body("", "", []byte{2, 9, 0, 8, 0})},
		"a tag twice":                           {kmsg.Fetch, 15, true, append(make([]byte, 13), body(0, -1, []byte{1, 1, 1}, []byte{2, 0, 2, 'a', 0, 0, 1, 0})...)},
		"a tag that does not end where it says": {kmsg.ApiVersions, 3, false, body([]byte{0, 0, 1, 0, 0, 0, 0, 1, 1, 9}, 0, 0, []byte{0})},
		"a length below null":                   {kmsg.Heartbeat, 0, true, []byte{0xff, 0xfe}},
		"structs out of nothing":                {kmsg.DescribeConfigs, 4, false, body(0, append(binary.AppendUvarint(nil, 5<<20+1), make([]byte, 40<<20)...))},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			if c.request {
				_, err = NewRequestBody(c.key, c.version, c.body).Peek()
			} else {
				_, err = NewResponseBody(c.key, c.version, c.body).Peek()
			}
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("decoded")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
				t.Errorf("refused after %d bytes were allocated", got)
			}
		})
	}
}

// TestViewsBelieveNoMoreThanAWalk: what passes because a view of Produce or Fetch could be made
// would pass a walk, and the other way round.
func TestViewsBelieveNoMoreThanAWalk(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		if api.Key != kmsg.Produce && api.Key != kmsg.Fetch {
			return
		}
		for range 2 {
			m := fresh()
			scramble(r, reflect.ValueOf(m).Elem(), 0.1, true)
			raw := m.AppendTo(nil)
			for at := 0; at <= len(raw); at += 1 + len(raw)/32 {
				for _, lie := range lies(len(raw) - at) {
					bad := append(append(append([]byte{}, raw[:at]...), lie...), raw[min(at+len(lie), len(raw)):]...)
					_, _, want := check(api.Key, version, request, bad)
					got := NewResponseBody(api.Key, version, bytes.Clone(bad)).Clean()
					if request {
						got = NewRequestBody(api.Key, version, bad).Clean()
					}
					if (got == nil) != (want == nil) {
						t.Fatalf("%s version %d request %t: the view says %v, a walk %v\n%x", api.Name, version, request, got, want, bad)
					}
				}
			}
		}
	})
}
