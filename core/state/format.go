package state

import (
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
	"strings"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// Formats. The first had no checksums, and no head; up to the second one a topic was one entry with
// all its partitions; up to the third one a copy had one distance, from the home; up to the fourth
// one distances were part of their partition's entry, whatever their length.
const (
	sealed  = 2
	divided = 3
	format  = 5
)

var (
	entries  = []byte("entries")
	meta     = []byte("meta")
	fenceKey = []byte("fence")
	headKey  = []byte("head")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head says what is in a store, so that an entry that is missing is noticed.
type head struct {
	format uint32
	count  uint64
	sum    uint64 // of the hashes of the entries
}

const headSize = 4 + 8 + 8 + 4

func (h head) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, h.format)
	b = binary.BigEndian.AppendUint64(b, h.count)
	b = binary.BigEndian.AppendUint64(b, h.sum)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseHead(b []byte) (head, error) {
	if len(b) != headSize || crc32.Checksum(b[:headSize-4], castagnoli) != binary.BigEndian.Uint32(b[headSize-4:]) {
		return head{}, damaged("its head has another checksum")
	}
	return head{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])}, nil
}

// add counts an entry as it is stored, take takes one off.
func (h *head) add(key, stored []byte) { h.count++; h.sum += hash(key, stored) }
func (h *head) take(key, stored []byte) {
	if stored != nil {
		h.count--
		h.sum -= hash(key, stored)
	}
}

func hash(key, stored []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(key)
	_, _ = h.Write(stored)
	return h.Sum64()
}

// seal puts an entry's checksum before its value.
func seal(key, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, checksum(key, value)), value...)
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// unseal returns the value of an entry as it was stored.
func unseal(key, stored []byte) ([]byte, error) {
	if len(stored) < 4 || checksum(key, stored[4:]) != binary.BigEndian.Uint32(stored) {
		kind, name, _ := strings.Cut(string(key), "\x00")
		return nil, damaged("the %s %q has another checksum", kind, name)
	}
	return stored[4:], nil
}

// content is what a file holds.
type content struct {
	fence   uint64
	entries []catalog.Entry
}

// read reads a file of this version or an older one.
func read(file []byte) (c content, err error) {
	trees, err := readPages(file)
	if err != nil {
		return c, err
	}
	var h head
	for _, p := range trees[string(meta)] {
		switch {
		case string(p.key) == string(fenceKey) && len(p.value) == 8:
			c.fence = binary.BigEndian.Uint64(p.value)
		case string(p.key) == string(headKey):
			if h, err = parseHead(p.value); err != nil {
				return c, err
			}
		default:
			return c, damaged("it has a %q", p.key)
		}
	}
	list, ok := trees[string(entries)]
	switch {
	case !ok || len(trees) != 2 || c.fence == 0:
		return c, damaged("it is another program's")
	case h.format > format:
		return c, errNewer
	}
	var found head
	for _, p := range list {
		found.add(p.key, p.value)
		value, err := unseal(p.key, p.value)
		switch ok := err == nil; {
		case h.format >= sealed && !ok:
			return c, err
		case h.format < sealed && ok:
			return c, damaged("its head is missing")
		case ok:
			p.value = value
		}
		kind, key, _ := strings.Cut(string(p.key), "\x00")
		c.entries = append(c.entries, catalog.Entry{Kind: kind, Key: key, Value: p.value})
	}
	if found.format = h.format; h.format >= sealed && found != h {
		return c, damaged("it has %d entries that are not the %d that were written", found.count, h.count)
	}
	if h.format < format {
		if c.entries, err = catalog.Upgrade(c.entries, h.format < divided); err != nil {
			return c, damaged("%v", err)
		}
	}
	return c, nil
}
