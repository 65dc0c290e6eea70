package kafka

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// headersIn decodes the headers of a batch in the quick way.
func headersIn(o Bounds, b Batch) (offsets []int64, headers [][]kmsg.Header, err error) {
	err = o.RecordHeaders(b, func(offset int64, h Headers) bool {
		var list []kmsg.Header
		for k, v := range h.All() {
			list = append(list, kmsg.Header{Key: string(k), Value: v})
		}
		offsets, headers = append(offsets, offset), append(headers, list)
		return true
	})
	return offsets, headers, err
}

// TestHeadersAreThoseOfTheRecords, of every codec, with null keys, values and headers.
func TestHeadersAreThoseOfTheRecords(t *testing.T) {
	records := append(some(), Record{Offset: 44, Timestamp: 1, Headers: make([]kmsg.Header, 10_000)})
	for codec := range int8(5) {
		offsets, headers, err := headersIn(Bounds{}, produced(codec, records...))
		if err != nil || len(offsets) != len(records) {
			t.Fatalf("codec %d: %v, %v", codec, err, offsets)
		}
		for i, r := range records {
			if offsets[i] != r.Offset || !reflect.DeepEqual(headers[i], r.Headers) {
				t.Errorf("codec %d: record %d is at %d with %d headers", codec, i, offsets[i], len(headers[i]))
			}
		}
	}
}

// TestBrokenRecordsHaveNoHeaders: bytes that are cut or changed end the walk, and what was shown
// before is what decoding shows.
func TestBrokenRecordsHaveNoHeaders(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	whole := produced(0, some()[:3]...)
	for range 5000 {
		b := Batch(append([]byte{}, whole...))
		if at := BatchHeader + r.IntN(len(b)-BatchHeader); r.IntN(2) == 0 {
			b = b[:at]
		} else {
			b[at] = byte(r.Uint32())
		}
		_, headers, err := headersIn(Bounds{}, b)
		records, decoded := Records(b)
		if decoded == nil && (err != nil || len(headers) != len(records)) {
			t.Fatalf("%x: %v, but it can be decoded", b, err)
		}
		for i := range min(len(headers), len(records)) {
			if decoded == nil && !reflect.DeepEqual(headers[i], records[i].Headers) {
				t.Fatalf("%x: the headers of record %d are %v", b, i, headers[i])
			}
		}
	}
}

// TestHeadersAreReadWithinBounds.
func TestHeadersAreReadWithinBounds(t *testing.T) {
	for name, b := range allCodecs(t, 1, recordOf(1<<20, 1)) {
		_, _, err := headersIn(Bounds{Most: 1 << 16}, b)
		if packed := b.Compression() != 0; packed != errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadingHeadersAllocatesNothing.
func TestReadingHeadersAllocatesNothing(t *testing.T) {
	b, n := produced(0, some()...), 0
	visit := func(_ int64, h Headers) bool {
		for range h.All() {
			n++
		}
		return true
	}
	if got := testing.AllocsPerRun(100, func() { _ = Bounds{}.RecordHeaders(b, visit) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
	if n == 0 {
		t.Error("no header was read")
	}
}

// TestSpan counts records from an offset on, without markers, and not those of formats that don't
// say.
func TestSpan(t *testing.T) {
	at := func(base int64) Batch {
		b := produced(0, some()...)
		b.SetBaseOffset(base)
		return b
	}
	marker := at(44)
	marker[22] = 32
	old := make([]byte, 100)
	old[16] = 1
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, c := range map[string]struct {
		records        []byte
		from           int64
		n, first, last int64
		known          bool
	}{
		"nothing":              {nil, 0, 0, -1, -1, true},
		"a batch":              {at(40), 0, 4, 40, 43, true},
		"from within":          {at(40), 42, 2, 42, 43, true},
		"from behind":          {at(40), 44, 0, -1, -1, true},
		"two and a marker":     {join(at(40), marker, at(48)), 0, 8, 40, 51, true},
		"cut":                  {join(at(40), at(44)[:70]), 0, 4, 40, 43, true},
		"old":                  {old, 0, 0, -1, -1, false},
		"new ones and old":     {join(at(40), old), 0, 4, 40, 43, false},
		"cut within the first": {at(40)[:50], 0, 0, -1, -1, true},
	} {
		n, first, last, known := Span(c.records, c.from)
		about := fact.Of(t, "%s: %d records, %d to %d, known: %t", name, n, first, last, known)
		fact.Equal(about, "n", n, c.n)
		fact.Equal(about, "first", first, c.first)
		fact.Equal(about, "last", last, c.last)
		fact.Equal(about, "known", known, c.known)
	}
}
