package catalog

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The distance of a log with few runs is part of its partition's entry. One with many, of a copy
// that drifts with each transaction, is stored in blocks, each of those runs that begin in so many
// virtual offsets, so that what a round adds is all that it writes.

const (
	// inlineRuns is how many runs a distance may have that is part of its partition's entry.
	inlineRuns = 64
	// blockBits is the logarithm of how many virtual offsets a block is of.
	blockBits = 16
)

// storedPartition is a partition as it is stored. Blocks says of which clusters the distance is in
// blocks of its own, and in which; "" is the home.
type storedPartition struct {
	Partition
	Blocks map[string]blockRange `json:"blocks,omitempty"`
}

// blockRange are blocks: the numbers of the first and the last one, and how many there are. Others
// are of a change that has not been written to its end.
type blockRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	N     int   `json:"n"`
}

// distances are those of a partition by cluster; "" is the home.
func (p *Partition) distances() iter.Seq2[string, Distance] {
	return func(yield func(string, Distance) bool) {
		if p == nil || !yield("", p.Distance) {
			return
		}
		for _, c := range slices.Sorted(maps.Keys(p.Copies)) {
			if !yield(c, p.Copies[c].Distance) {
				return
			}
		}
	}
}

// blocks are the runs of a distance that is stored in blocks, by the number of the block.
func (d Distance) blocks() iter.Seq2[int64, []Run] {
	return func(yield func(int64, []Run) bool) {
		if len(d.runs) <= inlineRuns {
			return
		}
		for left := d.runs; len(left) > 0; {
			number, n := left[0].Virtual>>blockBits, 1
			for n < len(left) && left[n].Virtual>>blockBits == number {
				n++
			}
			if !yield(number, left[:n]) {
				return
			}
			left = left[n:]
		}
	}
}

func blockKey(partition, cluster string, number int64) string {
	return partition + "\x00" + cluster + "\x00" + strconv.FormatInt(number, 10)
}

// partitionEntries are the entries that make what is stored of a partition as old, under its key,
// into what now is; each of them may be nil, which is none.
func partitionEntries(key string, old, now *Partition) (out []Entry, err error) {
	var gone []Entry
	before, after := map[string]Distance{}, map[string]Distance{}
	for cluster, d := range old.distances() {
		before[cluster] = d
	}
	for cluster, d := range now.distances() {
		after[cluster] = d
	}
	for cluster, was := range old.distances() {
		d, ok := after[cluster]
		if ok && d.Equal(was) {
			continue
		}
		has := map[int64]bool{}
		for number := range d.blocks() {
			has[number] = true
		}
		for number := range was.blocks() {
			if !has[number] {
				gone = append(gone, Entry{Kind: KindRuns, Key: blockKey(key, cluster, number)})
			}
		}
	}
	if now == nil {
		return append([]Entry{{Kind: KindPartition, Key: key}}, gone...), nil
	}
	s := storedPartition{Partition: *now}
	s.Copies = maps.Clone(now.Copies)
	for cluster, d := range now.distances() {
		all, was := blockRange{}, before[cluster]
		same, had := was.Equal(d), map[int64][]Run{}
		if !same {
			had = maps.Collect(was.blocks())
		}
		for number, runs := range d.blocks() {
			if all.N == 0 {
				all.First = number
			}
			all.Last, all.N = number, all.N+1
			if !same && !slices.Equal(had[number], runs) {
				out = append(out, Entry{Kind: KindRuns, Key: blockKey(key, cluster, number), Value: appendRuns(nil, runs)})
			}
		}
		if all.N == 0 {
			continue
		}
		if s.Blocks == nil {
			s.Blocks = map[string]blockRange{}
		}
		if s.Blocks[cluster] = all; cluster == "" {
			s.Distance = Distance{}
		} else {
			a := s.Copies[cluster]
			a.Distance = Distance{}
			s.Copies[cluster] = a
		}
	}
	b, err := json.Marshal(&s)
	return append(append(out, Entry{Kind: KindPartition, Key: key, Value: b}), gone...), err
}

// storedEntries are the entries of partitions and of their blocks, by key.
type storedEntries struct {
	partitions map[string][]byte
	blocks     map[string]map[int64][]byte // by the key of the partition, NUL and the cluster
}

// add notes an entry of a block; nil deletes it.
func (s *storedEntries) addBlock(e Entry) error {
	i := strings.LastIndexByte(e.Key, 0)
	number, err := strconv.ParseInt(e.Key[i+1:], 10, 64)
	if i < 0 || err != nil {
		return fmt.Errorf("state: runs %q: no number of a block", e.Key)
	}
	of := e.Key[:i]
	if s.blocks[of] == nil {
		s.blocks[of] = map[int64][]byte{}
	}
	set(s.blocks[of], number, e.Value)
	return nil
}

// partition reads the partition under a key.
func (s *storedEntries) partition(key string) (*Partition, error) {
	b, ok := s.partitions[key]
	if !ok {
		return nil, errors.New("it is missing")
	}
	var out storedPartition
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, err
	}
	for cluster, in := range out.Blocks {
		d, err := s.distance(key+"\x00"+cluster, in)
		if err != nil {
			return nil, fmt.Errorf("its distance of %s: %w", cmp.Or(cluster, "the home"), err)
		}
		if a, ok := out.Copies[cluster]; ok {
			a.Distance = d
			out.Copies[cluster] = a
		} else {
			out.Distance = d
		}
	}
	return &out.Partition, nil
}

// distance reads one that is in blocks.
func (s *storedEntries) distance(key string, in blockRange) (Distance, error) {
	var runs []Run
	n := 0
	for _, number := range slices.Sorted(maps.Keys(s.blocks[key])) {
		if number < in.First || number > in.Last {
			continue
		}
		more, err := parseRuns(s.blocks[key][number])
		if err != nil {
			return Distance{}, err
		}
		if n := len(runs); n > 0 && runs[n-1].Records == Open {
			return Distance{}, errors.New("an open run that is not the last one")
		}
		runs = append(runs, more...)
		n++
	}
	if n != in.N {
		return Distance{}, fmt.Errorf("it has %d blocks of %d", n, in.N)
	}
	return DistanceOf(runs...)
}

// appendRuns writes runs in some four bytes each: for each, how far it is behind the end of the one
// before it in both logs, and how many records it has, as varints (0: open).
func appendRuns(b []byte, runs []Run) []byte {
	var v, p int64
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.Virtual-v))
		b = binary.AppendUvarint(b, uint64(r.Physical-p))
		if r.Records == Open {
			return binary.AppendUvarint(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(r.Records))
		v, p = r.ends()
	}
	return b
}

// parseRuns reads what appendRuns wrote.
func parseRuns(b []byte) (runs []Run, err error) {
	var v, p int64
	for len(b) > 0 {
		var n [3]int64
		for i := range n {
			x, size := binary.Uvarint(b)
			if size <= 0 || x >= Open {
				return nil, errors.New("a distance that is cut off")
			}
			n[i], b = int64(x), b[size:]
		}
		if n[0] > Open-v || n[1] > Open-p {
			return nil, errors.New("a distance beyond all offsets")
		}
		r := Run{v + n[0], p + n[1], n[2]}
		if r.Records == 0 {
			r.Records = Open
		} else if r.Records > Open-max(r.Virtual, r.Physical) {
			return nil, errors.New("a distance beyond all offsets")
		}
		runs = append(runs, r)
		v, p = r.ends()
	}
	return runs, nil
}
