package copies

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// Aligned is what was found of a partition by looking at records one by one.
type Aligned struct {
	// Distance leads from the home's offsets to the copy's.
	Distance catalog.Distance
	// From and To are the offsets of the home between which every record was found on the copy;
	// Copy is the offset behind the last record of the copy that was looked at.
	From, To, Copy int64
	// Left is how many records of the home the copy does not have yet.
	Left int
	// Short says that there is more on the copy that need not be of the home: a transaction is open
	// there, or what it is depends on what comes next.
	Short bool
	// Cut says that a turn has ended before the stretches have, Empty that no record was found.
	Cut, Empty bool
	// Wrong is how many records in front of From keep the copy from being exact there, and First
	// says which is the first one, of an Align that goes over them.
	Wrong int
	First error
	// Owed is what only a record that follows can explain, for the next Align; without it all is
	// right from Settled on.
	Owed    map[uint64][]align.Fault
	Settled int64
}

const (
	// readAhead is how many offsets of either side are read at a time, and readBytes how many
	// bytes, about.
	readAhead = 20_000
	readBytes = 8 << 20
	// lookBack is how many offsets of the home in front of a stretch are read to know records by
	// that the copy repeats: the nearest ones first, and of all no more than lookBytes, about.
	lookBack  = 50_000
	lookFirst = 2_000
	lookBytes = 32 << 20
)

// Align finds where the copy has the records of a stretch of the home, whatever a replicator and
// brokers have put between them: repeated records, markers of transactions, what was aborted, gaps.
// their is the stretch of the copy that may have them. An error says why the copy is not exact,
// with offsets, or that more than how.Limit bytes would have to be read (ErrLimit).
func (p Pair) Align(ctx context.Context, partition int32, our, their Stretch, how Aligning) (Aligned, error) {
	if how.Resumes {
		return p.alignFrom(ctx, partition, our, their, how, their.From)
	}
	if p.syncs != nil {
		// A hint that can't be read, or that is wrong, is none.
		if from, err := p.syncs.near(ctx, partition, our.From); err == nil && from > their.From && from < their.To {
			a, err := p.alignFrom(ctx, partition, our, their, how, from)
			if err == nil && a.Wrong == 0 && !a.Empty || IsUnread(err) {
				return a, err
			}
		}
	}
	from, err := p.near(ctx, partition, our, their)
	if err != nil {
		return Aligned{}, err
	}
	return p.alignFrom(ctx, partition, our, their, how, from)
}

// alignFrom is Align from an offset of the copy on that is not behind the first record.
func (p Pair) alignFrom(ctx context.Context, partition int32, our, their Stretch, how Aligning, from int64) (Aligned, error) {
	w := &aligning{Pair: p, Aligning: how, partition: partition, a: align.New(), home: unread{our, false}, copied: unread{their, false}}
	w.a.HomeCompacts, w.a.CopyCompacts = p.HomeCompacts, p.CopyCompacts
	w.a.Resumed, w.a.Lead = true, !how.Resumes
	w.a.Owe(how.Owed)
	w.copied.From, w.first, w.begin = from, our.From, from
	if err := w.run(ctx); err != nil {
		return Aligned{}, err
	}
	return w.found(our, their)
}

// Aligning is how an Align goes about.
type Aligning struct {
	// Hidden says which records of the home are none of the virtual log.
	Hidden func(offset int64) bool
	// Resumes says that the records in front of both stretches are known to be the same, but for
	// what an Align in front has Owed.
	Resumes bool
	Owed    map[uint64][]align.Fault
	// Behind says that the copy can't have what is not in the stretch of the home: a record that it
	// has besides is somebody else's. Complete says that it will not get more, either.
	Behind, Complete bool
	// Limit is how many bytes may be read; 0 is no limit. Turn is when to end before.
	Limit int64
	Turn  Turn
	// Over goes on behind what keeps the copy from being exact.
	Over bool
}

// aligning is an Align on its way.
type aligning struct {
	Pair
	Aligning
	partition    int32
	bytes        int64
	a            *align.Aligner
	first, begin int64 // where it began at home, and on the copy
	home, copied unread
	cut          bool
}

// unread is what is left to read of a stretch; short says that it can't be read to its end now.
type unread struct {
	Stretch
	short bool
}

func (w *aligning) run(ctx context.Context) error {
	for {
		w.a.Go(false)
		home, copied, ours, theirs := w.a.Done()
		// A copy that is just ahead of what was read of the home is not stuck.
		stuck := w.a.Stuck() && (ours > 0 || w.Behind)
		short, lacks := ours < align.Ahead && w.home.From < w.home.To, theirs < align.Ahead && w.copied.From < w.copied.To
		var err error
		switch {
		case w.a.Wants() || stuck && w.a.Resumed:
			err = w.lookBack(ctx)
		case (home >= 0 || copied >= 0) && (short || lacks) && w.Turn.ends(ctx, w.bytes):
			w.cut = true
			return ctx.Err()
		case short || lacks:
			err = w.readOn(ctx, short, lacks)
		case stuck:
			w.a.Concede()
		case ours > 0 && theirs > 0 && w.copied.From < w.copied.To:
			err = w.readOn(ctx, false, true)
		case w.Behind && !w.home.short && w.a.Repeats():
		default:
			if w.a.Go(w.Complete); w.a.Wants() {
				continue
			}
			return w.faults()
		}
		if err != nil {
			return err
		}
		if faults, _ := w.a.Faults(false); len(faults) == align.MostFaults || slices.ContainsFunc(faults, missing) {
			if err := w.faults(); err != nil {
				return err
			}
		}
	}
}

// near is an offset of the copy that is not behind the first record of a stretch of the home. Where
// both have the producer's timestamps it is close: the copy is asked for the first record that is
// not older than those with which the stretch begins.
func (p Pair) near(ctx context.Context, partition int32, our, their Stretch) (int64, error) {
	if !p.Prints.Timestamps {
		return their.From, nil
	}
	oldest, err := p.Home.oldest(ctx, p.Prints, partition, our)
	if err != nil || oldest < 0 {
		return their.From, err
	}
	at, err := p.Copy.since(ctx, partition, oldest)
	if at < 0 { // all that the copy has is older
		at = their.To
	}
	return max(at, their.From), err
}

// oldest is the oldest timestamp of the records with which a stretch begins, -1 if there is none.
func (s *Side) oldest(ctx context.Context, f *kafka.Fingerprints, partition int32, at Stretch) (int64, error) {
	oldest := int64(math.MaxInt64)
	if at.From >= at.To {
		return -1, nil
	}
	err := s.Fetch(ctx, partition, at.From, joint.ReadBytes, func(records []byte) error {
		_, err := walk(records, at.From, at.To, func(b kafka.Batch) error {
			list, err := f.Within.Records(b)
			for _, r := range list {
				if r.Offset >= at.From && !b.IsControl() {
					oldest = min(oldest, r.Timestamp)
				}
			}
			return err
		})
		return err
	})
	if err != nil || oldest == math.MaxInt64 {
		return -1, err
	}
	return oldest, nil
}

// took adds bytes to what was read.
func (w *aligning) took(bytes int64) error {
	w.Turn.took(bytes)
	if w.bytes += bytes; w.Limit > 0 && w.bytes > w.Limit {
		return fmt.Errorf("partition %d: more than %w (%d bytes) would have to be compared, behind offset %d", w.partition, ErrLimit, w.Limit, w.home.From)
	}
	return nil
}

// readOn reads on, on one side or on both.
func (w *aligning) readOn(ctx context.Context, home, copied bool) error {
	var ours, aside, theirs []align.Record
	var bytes [2]int64
	err := guard.Parallel(2, 2, func(side int) (err error) {
		switch {
		case side == 0 && home:
			bytes[side], err = w.part(ctx, w.Home, &w.home, func(r align.Record) {
				if w.Hidden(r.Offset) {
					aside = append(aside, r)
				} else {
					ours = append(ours, r)
				}
			})
		case side == 1 && copied:
			bytes[side], err = w.part(ctx, w.Copy, &w.copied, func(r align.Record) { theirs = append(theirs, r) })
		}
		return err
	})
	if err != nil {
		return err
	}
	w.a.Aside(aside...)
	w.a.Home(ours...)
	w.a.Copy(theirs...)
	return w.took(bytes[0] + bytes[1])
}

// part reads a part of what is left of a stretch of a side.
func (w *aligning) part(ctx context.Context, s *Side, left *unread, visit func(align.Record)) (bytes int64, err error) {
	to := min(left.From+cmp.Or(w.ahead, readAhead), left.To)
	next, bytes, err := s.dataUpTo(ctx, w.Prints, w.partition, left.From, to, readBytes, visit)
	if next < to && bytes < readBytes {
		left.To, left.short = next, true // there is no more
	}
	left.From = next
	return bytes, err
}

// lookBack tells the aligner of what is in front of what it was given of the home.
func (w *aligning) lookBack(ctx context.Context) error {
	starts, err := w.Home.Starts(ctx)
	if err != nil {
		return err
	}
	begin := max(w.first-lookBack, starts[w.partition])
	var records []align.Record
	to, offsets, total := w.first, int64(lookFirst), int64(0)
	for to > begin && total < lookBytes {
		from := max(begin, to-offsets)
		var some []align.Record
		_, bytes, err := w.Home.dataUpTo(ctx, w.Prints, w.partition, from, to, lookBytes, func(r align.Record) { some = append(some, r) })
		if err != nil {
			return err
		}
		total += bytes
		// As many as take what is left, if they are like these.
		records, offsets, to = append(some, records...), max(1, (to-from)*(lookBytes-total)/max(bytes, 1)), from
	}
	w.a.Remember(records...)
	w.Turn.took(total) // it has a limit of its own
	return nil
}

func missing(f align.Fault) bool { return f.Kind == align.Missing }

// faults are what keeps the copy from being exact, as an error.
func (w *aligning) faults() error {
	if w.Over {
		return nil
	}
	faults, more := w.a.Faults(true)
	return w.wrong(faults, more)
}

// wrong says what is wrong: what the copy lacks tells most.
func (w *aligning) wrong(faults []align.Fault, more int) error {
	if len(faults) == 0 {
		return nil
	}
	first, home, copied := faults[0], w.Home.Cluster.Name(), w.Copy.Cluster.Name()
	if i := slices.IndexFunc(faults, missing); i >= 0 {
		first = faults[i]
	}
	others := ""
	if n := len(faults) + more - 1; n > 0 {
		others = fmt.Sprintf(", nor %d others", n)
	}
	if first.Kind == align.Missing {
		return fmt.Errorf("partition %d: the record at %d on %s is not on %s, or not in its order%s: this is no exact copy (records were dropped, changed or reordered)", w.partition, first.Offset, home, copied, others)
	}
	return fmt.Errorf("partition %d: the record at %d on %s is not on %s%s: this is no exact copy (somebody else writes there)", w.partition, first.Offset, copied, home, others)
}

// found is what the aligner has found, as a distance.
func (w *aligning) found(our, their Stretch) (out Aligned, err error) {
	home, copied, left, waiting := w.a.Done()
	out.Short = w.copied.short || waiting > 0 && !w.cut
	out.From, out.To, out.Copy = max(our.From, w.a.Clean(false)), max(home+1, our.From), max(copied+1, w.begin)
	out.Left, out.Cut, out.Owed, out.Settled = left, w.cut, w.a.Owed(), w.a.Clean(true)
	faults, more := w.a.Faults(false)
	if runs := w.a.Runs(); w.Over && w.a.Lead && len(runs) > 0 { // what is in front of the first record that both have is none of the copy's
		out.From = max(out.From, runs[0].Home)
		faults = slices.DeleteFunc(faults, func(f align.Fault) bool { return f.Behind <= runs[0].Home })
	}
	out.Wrong, out.First = len(faults)+more, w.wrong(faults, more)
	switch {
	case left > 0 || w.cut:
	case w.Complete: // what the copy has behind the last record is none of the home's
		out.To, out.Copy = our.To, their.To
	default: // and what the home has is no data
		out.To = max(w.home.To, our.From)
	}
	runs := w.a.Runs()
	if len(runs) == 0 {
		out.Distance, out.Empty = catalog.At(out.To, out.Copy), true
		return out, nil
	}
	list := make([]catalog.Run, 0, len(runs))
	for _, r := range runs {
		list = append(list, catalog.Run{Virtual: r.Home, Physical: r.Copy, Records: r.Offsets})
	}
	out.Distance, err = catalog.DistanceOf(list...)
	out.Distance = out.Distance.Then(out.To, out.Copy)
	return out, err
}
