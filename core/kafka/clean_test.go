package kafka

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// cleaned is a body in which somebody has dropped what nobody knows.
func cleaned(t *testing.T, key kmsg.Key, version int16, request bool, raw []byte) []byte {
	t.Helper()
	if request {
		b := NewRequestBody(key, version, raw)
		if err := b.Clean(); err != nil {
			t.Fatalf("%s version %d: %v", kmsg.NameForKey(int16(key)), version, err)
		}
		return b.Bytes()
	}
	b := NewResponseBody(key, version, raw)
	if err := b.Clean(); err != nil {
		t.Fatalf("%s version %d: %v", kmsg.NameForKey(int16(key)), version, err)
	}
	return b.Bytes()
}

// TestUnknownTagsAreDropped at every place of every message, requests and responses of every API
// and version, where the rule says so; everything else leaves as it came.
func TestUnknownTagsAreDropped(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		for range 4 {
			m := fresh()
			scramble(r, reflect.ValueOf(m).Elem(), 0, true)
			plain := m.AppendTo(nil)
			if got := cleaned(t, api.Key, version, request, plain); !bytes.Equal(got, plain) {
				t.Fatalf("%s version %d request %t was changed", api.Name, version, request)
			}
			addTags(reflect.ValueOf(m).Elem())
			tagged := m.AppendTo(nil)
			want := plain
			if api.Carries == 0 {
				want = tagged
			}
			got := cleaned(t, api.Key, version, request, tagged)
			if f, ok := m.(*kmsg.FetchResponse); ok && m.IsFlexible() && want != nil { // edited ones have no null records
				neverNull(f)
				dropTags(reflect.ValueOf(f).Elem())
				want = f.AppendTo(nil)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s version %d request %t:\n%x\n%x", api.Name, version, request, got, want)
			}
		}
	})
}

// addTags puts a tagged field that kmsg does not know at every place of a message.
func addTags(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			tags.Set(1000, []byte("an address of the cluster"))
			return
		}
		for i := range v.NumField() {
			addTags(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			addTags(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			addTags(v.Elem())
		}
	}
}

// TestWhatStandsBehindAResponseIsDropped: an address may stand there as well.
func TestWhatStandsBehindAResponseIsDropped(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		if request {
			return
		}
		m := fresh()
		scramble(r, reflect.ValueOf(m).Elem(), 0, true)
		raw := m.AppendTo(nil)
		if got := cleaned(t, api.Key, version, false, append(bytes.Clone(raw), "an address"...)); !bytes.Equal(got, raw) {
			t.Errorf("%s version %d:\n%x\n%x", api.Name, version, got, raw)
		}
	})
}

// TestCleanCostsNothing for a message that has nothing to drop.
func TestCleanCostsNothing(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Heartbeat, kmsg.OffsetCommit} {
		api, _ := Lookup(key)
		request := filled(key, api.MaxVersion).AppendTo(nil)
		resp := kmsg.ResponseForKey(int16(key))
		resp.SetVersion(api.MaxVersion)
		response := resp.AppendTo(nil)
		var a RequestBody
		var b ResponseBody
		if n := testing.AllocsPerRun(100, func() {
			a.Reset(key, api.MaxVersion, request)
			b.Reset(key, api.MaxVersion, response)
			if a.Clean() != nil || b.Clean() != nil {
				t.Fatal("refused")
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", api.Name, n)
		}
	}
}
