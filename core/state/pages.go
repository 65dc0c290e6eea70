package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
)

// bbolt maps its file and trusts what is in it: a damaged one makes it panic, run in circles, or
// fall back to the state before the last write. So a file is read here, where every step is
// checked, before it is used.
//
// It consists of pages: a header of 16 bytes (id, flags, count of elements, number of further pages
// that belong to it), then the elements. The first two are meta pages, of which the one with the
// higher transaction is in force. The others are the nodes of B+ trees.
const (
	pageHeader  = 16
	pageElement = 16
	branchFlag  = 1
	leafFlag    = 2
	bucketFlag  = 1 // of a leaf's element: its value is a tree
	metaMagic   = 0xED0CDAED
	metaSize    = 64
)

// damage is an error about what is in a file.
type damage string

func (d damage) Error() string { return string(d) }

func damaged(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

var le = binary.LittleEndian

// meta is a meta page.
type metaPage struct {
	pageSize int
	root     uint64
	tx       uint64
}

// pages reads a file.
type pages struct {
	file []byte
	size int
	seen map[uint64]bool
}

// readPages returns the trees of a file, by name, each in the order of its keys.
func readPages(file []byte) (map[string][]pair, error) {
	first, err := readMeta(file, 0)
	if err != nil {
		return nil, err
	}
	second, err := readMeta(file, first.pageSize)
	if err != nil {
		return nil, err
	}
	if second.tx > first.tx {
		first.root = second.root
	}
	p := &pages{file: file, size: first.pageSize, seen: map[uint64]bool{}}
	roots, err := p.tree(first.root)
	if err != nil {
		return nil, err
	}
	out := map[string][]pair{}
	for _, r := range roots {
		if !r.tree || len(r.value) < 16 {
			return nil, damaged("%q is no tree", r.key)
		}
		var err error
		if root := le.Uint64(r.value); root != 0 {
			out[string(r.key)], err = p.tree(root)
		} else { // a small one is in its parent
			out[string(r.key)], err = p.page(r.value[16:])
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readMeta reads the meta page at a place.
func readMeta(file []byte, at int) (metaPage, error) {
	if at+pageHeader+metaSize > len(file) {
		return metaPage{}, damaged("it is too short")
	}
	b := file[at+pageHeader:][:metaSize]
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != 2 {
		if at == 0 {
			return metaPage{}, damaged("it does not begin like one")
		}
		return metaPage{}, damaged("its second page is no meta page")
	}
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	if h.Sum64() != le.Uint64(b[metaSize-8:]) {
		return metaPage{}, damaged("a meta page has another checksum")
	}
	m := metaPage{pageSize: int(le.Uint32(b[8:])), root: le.Uint64(b[16:]), tx: le.Uint64(b[48:])}
	if m.pageSize < 512 || m.pageSize > 1<<20 {
		return m, damaged("pages of %d bytes", m.pageSize)
	}
	return m, nil
}

// pair is an element of a leaf.
type pair struct {
	key, value []byte
	tree       bool
}

// tree returns the leaves below a page in the order of their keys.
func (p *pages) tree(id uint64) ([]pair, error) {
	if id < 2 || id >= uint64(len(p.file)/p.size) || p.seen[id] {
		return nil, damaged("a tree leads to page %d", id)
	}
	p.seen[id] = true
	at := int(id) * p.size
	if own := le.Uint64(p.file[at:]); own != id {
		return nil, damaged("page %d says that it is page %d", id, own)
	}
	end := uint64(at) + (uint64(le.Uint32(p.file[at+12:]))+1)*uint64(p.size)
	if end > uint64(len(p.file)) {
		return nil, damaged("page %d reaches behind the end", id)
	}
	return p.page(p.file[at:end])
}

// page returns the leaves of a page, or below it.
func (p *pages) page(b []byte) (out []pair, err error) {
	if len(b) < pageHeader {
		return nil, damaged("a page is too short")
	}
	flags, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	if flags != branchFlag && flags != leafFlag {
		return nil, damaged("a page of a tree is of kind %d", flags)
	}
	if pageHeader+count*pageElement > len(b) {
		return nil, damaged("a page has %d elements", count)
	}
	for i := range count {
		e := b[pageHeader+i*pageElement:]
		var list []pair
		if flags == branchFlag {
			list, err = p.tree(le.Uint64(e[8:]))
		} else {
			var one pair
			one, err = element(e)
			list = []pair{one}
		}
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			if len(out) > 0 && bytes.Compare(out[len(out)-1].key, l.key) >= 0 {
				return nil, damaged("keys are not in their order")
			}
			out = append(out, l)
		}
	}
	return out, nil
}

// element reads an element of a leaf, whose key and value stand behind it.
func element(e []byte) (pair, error) {
	at, key, value := uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
	if at+key+value > uint64(len(e)) {
		return pair{}, damaged("an element reaches behind its page")
	}
	return pair{slices.Clone(e[at : at+key]), slices.Clone(e[at+key : at+key+value]), le.Uint32(e)&bucketFlag != 0}, nil
}
