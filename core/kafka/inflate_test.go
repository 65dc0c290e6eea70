package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fact"
)

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// compressed is a batch of n records whose bytes are those of data, compressed.
func compressed(t *testing.T, codec int8, n int, data []byte) Batch {
	t.Helper()
	if codec != 0 {
		var err error
		if data, err = packTo(nil, codec, data); err != nil {
			t.Fatal(err)
		}
	}
	b := append(make(Batch, BatchHeader), data...)
	b[16] = 2
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint16(b[21:], uint16(codec))
	binary.BigEndian.PutUint32(b[57:], uint32(n))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// framed is snappy as Java clients write it.
func framed(t *testing.T, n int, data []byte) Batch {
	t.Helper()
	b := append(append([]byte{}, xerial...), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(data) > 0 {
		most := min(32<<10, len(data))
		block, err := packTo(nil, 2, data[:most])
		if err != nil {
			t.Fatal(err)
		}
		b, data = append(binary.BigEndian.AppendUint32(b, uint32(len(block))), block...), data[most:]
	}
	out := compressed(t, 0, n, b)
	out[22] = 2
	return out
}

// allCodecs are batches of the same records in every codec and framing.
func allCodecs(t *testing.T, n int, data []byte) map[string]Batch {
	t.Helper()
	out := map[string]Batch{"framed snappy": framed(t, n, data)}
	for codec := range int8(5) {
		out[codecNames[codec]] = compressed(t, codec, n, data)
	}
	return out
}

// recordOf is one record with a value and a number of empty headers.
func recordOf(value, headers int) []byte {
	r := Record{Value: make([]byte, value), Headers: make([]kmsg.Header, headers)}
	b, err := Rebuild(make(Batch, BatchHeader), []Record{r}, KeepGaps)
	if err != nil {
		panic(err) // nothing is compressed
	}
	return b[BatchHeader:]
}

// TestBombsStayCompressed: whatever a few bytes become, no more is taken than the bounds say, in
// every codec.
func TestBombsStayCompressed(t *testing.T) {
	const most = 4 << 20
	for name, bomb := range map[string]struct {
		records int
		data    []byte
	}{
		"one long record": {1, recordOf(16<<20, 0)},
		"many headers":    {1, recordOf(0, 1<<20)},
		"many records":    {1 << 18, bytes.Repeat(recordOf(0, 0), 1<<18)},
	} {
		for codec, b := range allCodecs(t, bomb.records, bomb.data) {
			fits := codec == "none" && name == "one long record" // it takes nothing more than it took
			t.Run(name+" "+codec, func(t *testing.T) {
				grown, highest := int64(0), int64(0)
				within := Bounds{Most: most, Grow: func(n int64) error {
					grown += n
					highest = max(highest, grown)
					return nil
				}}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if _, err := within.AppendRecords(nil, b); errors.Is(err, ErrTooLarge) == fits {
					t.Errorf("decoded: %v", err)
				}
				runtime.ReadMemStats(&after)
				if got := after.TotalAlloc - before.TotalAlloc; got > 4*most {
					t.Errorf("%d bytes were allocated", got)
				}
				if highest > most {
					t.Errorf("%d bytes were asked for", highest)
				}
			})
		}
	}
}

// TestWhatFitsIsDecoded, up to the last byte of the bounds, and what is counted is about what it
// takes.
func TestWhatFitsIsDecoded(t *testing.T) {
	for _, size := range []int{0, 100, 5000, 300_000, 3 << 20} {
		data := recordOf(size, 3)
		for codec, b := range allCodecs(t, 1, data) {
			t.Run(fmt.Sprint(codec, size), func(t *testing.T) {
				grown := int64(0)
				list, err := Bounds{Grow: func(n int64) error {
					grown += n
					return nil
				}}.AppendRecords(nil, b)
				about := fact.Must(t, "%d records: %v", len(list), err)
				fact.NoError(about, err)
				fact.Equal(about, "len(list)", len(list), 1)
				fact.Equal(about, "len(list[0].Value)", len(list[0].Value), size)
				fact.Equal(about, "len(list[0].Headers)", len(list[0].Headers), 3)
				least := recordMemory + 3*headerMemory
				if codec != "none" {
					least += int64(len(data))
				}
				if grown < least || grown > least*3+4096 {
					t.Errorf("%d bytes counted, %d taken", grown, least)
				}
				if _, err := (Bounds{Most: least}).AppendRecords(nil, b); err != nil {
					t.Errorf("refused with as much as it needs: %v", err)
				}
				if _, err := (Bounds{Most: least - 1}).AppendRecords(nil, b); !errors.Is(err, ErrTooLarge) {
					t.Errorf("decoded with less than it needs: %v", err)
				}
			})
		}
	}
}

// TestGrowCanRefuse: its error is the batch's.
func TestGrowCanRefuse(t *testing.T) {
	gone := errors.New("the client is gone")
	for codec := int8(1); codec < 5; codec++ {
		within := Bounds{Grow: func(int64) error { return gone }}
		if _, err := within.Records(compressed(t, codec, 1, recordOf(100, 0))); !errors.Is(err, gone) {
			t.Errorf("%s: %v", codecNames[codec], err)
		}
	}
}

// FuzzInflate: any bytes of any codec end within the bounds.
func FuzzInflate(f *testing.F) {
	for codec := int8(1); codec < 5; codec++ {
		packed, err := packTo(nil, codec, recordOf(1000, 2))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(codec, packed)
	}
	f.Add(int8(2), append(append([]byte{}, xerial...), 0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, codec int8, src []byte) {
		const most = 1 << 20
		r := room{left: most}
		out, err := r.inflate(nil, codec, src)
		if err == nil && len(out) > most {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
