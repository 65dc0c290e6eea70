package meter

// No way through a function passes more than a stretch of code without a count. Branches forward
// lead past code, and past what would count there, so the bytes since the last count are followed
// along all of them, to the labels at which they meet again.

// jumpCost is what a branch counts itself.
const jumpCost = 8

// label is a block that is open, or the function: a branch to it leaves it or, of a loop, repeats
// it.
type label struct {
	values int    // that a branch to it carries
	loop   bool   // whose head counts, unless it has jumps
	jumps  *jumps // of a loop that makes them, and of the blocks whose ends are their places
	began  int    // bytes since the last count where else begins
	behind int    // bytes since the last count behind it, at most, on the ways that branch
}

// jumps are a loop by which a compiler jumps between the parts of a function, as Go's does:
//
//	loop block block ... local.get $place br_table ... end ... end ... end
//
// A jump is: i32.const, local.set $place, br to the loop. Most of them go forward, one for each if
// in Go. Those end by themselves, as every branch forward does, and count nothing. All others count
// where they stand, not at the head.
type jumps struct {
	head   int      // index of the loop's label
	local  uint32   // $place
	table  []uint32 // by its value, how many blocks further out than the innermost; the last is for all other values
	blocks int
	opened int // so far
	open   int // that have not ended
}

// findJumps reads what follows a loop; nil if it does not make jumps.
func findJumps(r reader, head int) *jumps {
	j := &jumps{head: head}
	next := byte(block)
	for next == block && r.byte() == emptyBlock {
		next = r.byte()
		j.blocks++
	}
	j.blocks-- // the first was the loop's type
	if next != localGet || j.blocks == 0 {
		return nil
	}
	if j.local = r.u32(); r.byte() != brTable {
		return nil
	}
	for n := r.count() + 1; n > 0 && r.err == nil; n-- {
		j.table = append(j.table, r.u32())
	}
	if r.err != nil {
		return nil
	}
	return j
}

// place is the index of the label behind which a jump goes on.
func (j *jumps) place(value uint32) int {
	depth := j.table[min(int64(value), int64(len(j.table)-1))]
	return j.head + j.blocks - int(depth)
}

// ways are what is known at one instruction of a function.
type ways struct {
	labels []label
	since  int // bytes since the last count, at most
	known  constant
}

// constant is a number on the stack, then in a local; known to the instruction at an offset.
type constant struct {
	at    int
	value uint32
	set   bool
	local uint32
}

// enter goes into a block, which carries so many values behind its end, where one way leads that
// passes it by if it has a condition.
func (f *ways) enter(values int, conditional bool) {
	l := label{values: values, began: f.since + jumpCost}
	if conditional {
		l.behind = l.began
	}
	if j := f.top().jumps; j != nil && j.opened < j.blocks {
		l.jumps = j
		j.opened++
		j.open++
	}
	f.labels = append(f.labels, l)
}

// repeat goes into a loop.
func (f *ways) repeat(values int, j *jumps) {
	f.labels = append(f.labels, label{values: values, loop: true, jumps: j})
	f.since = max(f.since, jumpCost)
}

// otherwise goes from one part of a block with a condition to the other.
func (f *ways) otherwise() {
	l := f.top()
	l.behind, f.since = max(l.behind, f.since), l.began
}

// leave goes behind the end of a block.
func (f *ways) leave() {
	last := len(f.labels) - 1
	l := f.labels[last]
	f.labels = f.labels[:last]
	f.since = max(f.since, l.behind)
	if l.jumps != nil && !l.loop {
		l.jumps.open--
	}
}

// branch goes to a label as well. It reports whether that must count before.
func (f *ways) branch(depth uint32, at int) bool {
	to := len(f.labels) - 1 - int(depth)
	if to < 0 {
		return false // there is none
	}
	l := &f.labels[to]
	if j := l.jumps; l.loop && j != nil {
		place := 0
		if k := f.known; k.at == at && k.set && k.local == j.local {
			place = j.place(k.value)
		}
		if place <= j.head || place > j.head+j.open {
			return true
		}
		l = &f.labels[place]
	}
	l.behind = max(l.behind, f.since+jumpCost)
	return false
}

// branches goes to all labels of a br_table.
func (f *ways) branches(r reader) (count bool) {
	at := r.pos
	r.byte()
	for n := r.count() + 1; n > 0 && r.err == nil; n-- {
		if f.branch(r.u32(), at) {
			count = true
		}
	}
	return count
}

// top is the innermost label.
func (f *ways) top() *label { return &f.labels[len(f.labels)-1] }

// values are what a branch carries.
func (f *ways) values(depth uint32) int {
	if int64(depth) >= int64(len(f.labels)) {
		return 0
	}
	return f.labels[len(f.labels)-1-int(depth)].values
}
