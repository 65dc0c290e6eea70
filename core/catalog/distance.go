package catalog

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
)

// Run is a number of consecutive records of a partition that stand at a constant distance in the
// virtual log and in the log of a cluster.
type Run struct {
	Virtual, Physical int64
	// Records is how many there are; Open in the last run of a distance.
	Records int64
}

// Open is the length of a run that goes on with what is written next.
const Open = math.MaxInt64

// ends are the offsets behind a run.
func (r Run) ends() (virtual, physical int64) {
	if r.Records == Open {
		return Open, Open
	}
	return r.Virtual + r.Records, r.Physical + r.Records
}

// Distance is how the offsets of a partition's virtual log and those of its log on one cluster
// belong together: runs, ascending in both. Virtual offsets between two runs are a hole, of which
// the cluster has no record; physical ones are a skip, which clients are never shown. The last run
// is open.
//
// A Distance is immutable. The zero value says that all offsets are the same in both logs.
type Distance struct {
	// runs is nil for the zero value.
	runs []Run
}

// At is the distance of logs that have the same records from two offsets on: none before the first
// offset of either. Negative offsets are moved to 0 together with the other ones.
func At(virtual, physical int64) Distance {
	if physical < 0 {
		virtual, physical = virtual-physical, 0
	}
	if virtual < 0 {
		virtual, physical = 0, physical-virtual
	}
	least := min(virtual, physical)
	return of([]Run{{virtual - least, physical - least, Open}})
}

// DistanceOf is the distance with these runs, of which the last one is made an open one. An error
// says which of them overlap, or are not of two logs.
func DistanceOf(runs ...Run) (Distance, error) {
	if len(runs) == 0 {
		return Distance{}, errors.New("a distance without runs")
	}
	runs = slices.Clone(runs)
	runs[len(runs)-1].Records = Open
	for i, r := range runs {
		if r.Virtual < 0 || r.Physical < 0 || r.Records <= 0 || i < len(runs)-1 && r.Records > Open-max(r.Virtual, r.Physical) {
			return Distance{}, fmt.Errorf("run %d of %d has %d records at %d and %d", i, len(runs), r.Records, r.Virtual, r.Physical)
		}
		if i == 0 {
			continue
		}
		if v, p := runs[i-1].ends(); r.Virtual < v || r.Physical < p {
			return Distance{}, fmt.Errorf("run %d begins at %d and %d, before the one in front of it ends at %d and %d", i, r.Virtual, r.Physical, v, p)
		}
	}
	return of(runs), nil
}

// of joins runs between which nothing is, and makes the zero value of the one that is it.
func of(runs []Run) Distance {
	out := runs[:0]
	for _, r := range runs {
		if n := len(out); n > 0 {
			if v, p := out[n-1].ends(); r.Virtual == v && r.Physical == p {
				if out[n-1].Records += r.Records; r.Records == Open {
					out[n-1].Records = Open
				}
				continue
			}
		}
		out = append(out, r)
	}
	if len(out) == 1 && out[0] == (Run{Records: Open}) {
		return Distance{}
	}
	return Distance{slices.Clip(out)}
}

// everything is the run of the zero value.
var everything = []Run{{Records: Open}}

func (d Distance) list() []Run {
	if d.runs == nil {
		return everything
	}
	return d.runs
}

// Runs are the runs, ascending.
func (d Distance) Runs() iter.Seq[Run] { return slices.Values(d.list()) }

// Len is the number of runs.
func (d Distance) Len() int { return len(d.list()) }

// Gaps are how many virtual offsets between the runs are holes, and how many physical ones are
// skipped.
func (d Distance) Gaps() (holes, skips int64) {
	for i, r := range d.runs {
		if i > 0 {
			v, p := d.runs[i-1].ends()
			holes, skips = holes+r.Virtual-v, skips+r.Physical-p
		}
	}
	return holes, skips
}

// Last is the open run.
func (d Distance) Last() Run { return d.list()[len(d.list())-1] }

// Identity reports that virtual and physical offsets are the same.
func (d Distance) Identity() bool { return d.runs == nil }

// Equal reports two distances that map all offsets the same.
func (d Distance) Equal(o Distance) bool {
	if n := len(d.runs); n == len(o.runs) && n > 0 && &d.runs[0] == &o.runs[0] {
		return true
	}
	return slices.Equal(d.runs, o.runs)
}

// byVirtual is the first run that ends behind a virtual offset.
func (d Distance) byVirtual(v int64) Run {
	list := d.list()
	return list[sort.Search(len(list)-1, func(i int) bool { return v < list[i].Virtual+list[i].Records })]
}

// byPhysical is the first run that ends behind a physical offset.
func (d Distance) byPhysical(at int64) Run {
	list := d.list()
	return list[sort.Search(len(list)-1, func(i int) bool { return at < list[i].Physical+list[i].Records })]
}

// ToPhysical maps a virtual offset. One in a hole is where the next record of the log is.
func (d Distance) ToPhysical(v int64) int64 {
	if d.runs == nil {
		return max(v, 0)
	}
	r := d.byVirtual(v)
	return r.Physical + max(v-r.Virtual, 0)
}

// ToVirtual maps a physical offset. That of a record that is skipped is where the next one is that
// is not.
func (d Distance) ToVirtual(at int64) int64 {
	if d.runs == nil {
		return max(at, 0)
	}
	r := d.byPhysical(at)
	return r.Virtual + max(at-r.Physical, 0)
}

// Skips reports a physical offset whose record clients are not shown.
func (d Distance) Skips(at int64) bool { return at < d.byPhysical(at).Physical }

// Has reports a virtual offset that is in no hole.
func (d Distance) Has(v int64) bool { return v >= d.byVirtual(v).Virtual }

// Within reports that all records of a range of physical offsets, both ends included, are in one
// run.
func (d Distance) Within(from, to int64) bool {
	if d.runs == nil {
		return from >= 0
	}
	r := d.byPhysical(from)
	_, end := r.ends()
	return from >= r.Physical && to < end
}

// HasPhysical are the parts of runs in which the records of a range of physical offsets are, both
// ends included. What is between them is skipped.
func (d Distance) HasPhysical(from, to int64) (out []Run) {
	list := d.list()
	for i := sort.Search(len(list)-1, func(i int) bool { return from < list[i].Physical+list[i].Records }); i < len(list) && list[i].Physical <= to; i++ {
		if part, ok := list[i].part(from-list[i].Physical, to-list[i].Physical); ok {
			out = append(out, part)
		}
	}
	return out
}

// HasVirtual are the parts of runs in which the records of a range of virtual offsets are, both
// ends included. What is between them are holes.
func (d Distance) HasVirtual(from, to int64) (out []Run) {
	list := d.list()
	for i := sort.Search(len(list)-1, func(i int) bool { return from < list[i].Virtual+list[i].Records }); i < len(list) && list[i].Virtual <= to; i++ {
		if part, ok := list[i].part(from-list[i].Virtual, to-list[i].Virtual); ok {
			out = append(out, part)
		}
	}
	return out
}

// part are the records of a run from a number on to another one, which is among them.
func (r Run) part(first, last int64) (Run, bool) {
	first, last = max(first, 0), min(last, r.Records-1)
	if last < first {
		return Run{}, false
	}
	return Run{r.Virtual + first, r.Physical + first, last - first + 1}, true
}

// Then is the distance if what is written from virtual on stands from physical on: what this one
// says of offsets behind either is forgotten.
func (d Distance) Then(virtual, physical int64) Distance {
	return of(append(d.below(virtual, physical), Run{virtual, physical, Open}))
}

// Cut is the distance if the cluster has nothing from a virtual offset on until another virtual
// one, which stands where the first would.
func (d Distance) Cut(from, to int64) Distance { return d.Then(to, d.ToPhysical(from)) }

// below are the runs, or parts of them, in front of two offsets.
func (d Distance) below(virtual, physical int64) (out []Run) {
	for _, r := range d.list() {
		if r.Records = min(r.Records, virtual-r.Virtual, physical-r.Physical); r.Records <= 0 {
			break
		}
		out = append(out, r)
	}
	return out
}

// Until is what this distance says of virtual offsets below one, and the other one from there on.
// An error says that they are not of the same two logs.
func (d Distance) Until(v int64, rest Distance) (Distance, error) {
	runs := d.below(v, Open)
	for _, r := range rest.list() {
		if ahead := v - r.Virtual; ahead > 0 {
			r.Virtual, r.Physical = r.Virtual+ahead, r.Physical+ahead
			if r.Records != Open {
				r.Records -= ahead
			}
		}
		if r.Records > 0 {
			runs = append(runs, r)
		}
	}
	for i := range len(runs) - 1 { // one of d that is open ends where the next begins
		runs[i].Records = min(runs[i].Records, runs[i+1].Virtual-runs[i].Virtual, runs[i+1].Physical-runs[i].Physical)
	}
	return DistanceOf(runs...)
}

// Back is the distance if its first run begins as early as it can: nothing is known of what is in
// front of it, and nothing better can be assumed.
func (d Distance) Back() Distance {
	runs := slices.Clone(d.list())
	n := min(runs[0].Virtual, runs[0].Physical)
	runs[0].Virtual, runs[0].Physical = runs[0].Virtual-n, runs[0].Physical-n
	if runs[0].Records != Open {
		runs[0].Records += n
	}
	return of(runs)
}

// Delta is the physical offset minus the virtual one of what is written last.
func (d Distance) Delta() int64 { return d.Last().Physical - d.Last().Virtual }

// Shift is the distance of a log of which every offset is greater by delta, without what would be
// in front of its first offset.
func (d Distance) Shift(delta int64) Distance { return d.Onward(At(0, delta)) }

// Onward is the distance of a log of which next is the distance from the log that this one is of:
// where both have no hole, and what neither skips.
func (d Distance) Onward(next Distance) Distance {
	var out []Run
	for a, b := d.list(), next.list(); len(a) > 0 && len(b) > 0; {
		_, aEnd := a[0].ends()
		bEnd, _ := b[0].ends()
		from, to := max(a[0].Physical, b[0].Virtual), min(aEnd, bEnd)
		if from < to {
			r := Run{a[0].Virtual + from - a[0].Physical, b[0].Physical + from - b[0].Virtual, to - from}
			if to == Open {
				r.Records = Open
			}
			out = append(out, r)
		}
		if aEnd <= bEnd {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return of(out)
}

// Above is the distance without what it says of offsets below two log starts: runs that end in
// front of both are forgotten, and the first that is left begins where it did.
func (d Distance) Above(virtual, physical int64) Distance {
	list := d.list()
	first := 0
	for first < len(list)-1 {
		if v, p := list[first].ends(); v > virtual || p > physical {
			break
		}
		first++
	}
	if first == 0 {
		return d
	}
	return Distance{list[first:]}
}

// MarshalJSON writes the runs as text.
func (d Distance) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawStdEncoding.EncodeToString(appendRuns(nil, d.runs)))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *Distance) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		*d = Distance{}
		return err
	}
	runs, err := parseRuns(b)
	if err != nil {
		return err
	}
	if runs[len(runs)-1].Records != Open {
		return errors.New("a distance whose last run is not open")
	}
	*d, err = DistanceOf(runs...)
	return err
}
