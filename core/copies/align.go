package copies

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
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
}

// readAhead is how many offsets of either side are read at a time.
const readAhead = 20_000

// lookBack is how many offsets of the home in front of a stretch are read to know records by that
// the copy repeats.
const lookBack = 50_000

// Align finds where the copy has the records of a stretch of the home, whatever a replicator and
// brokers have put between them: repeated records, markers of transactions, what was aborted, gaps.
// their is the stretch of the copy that may have them. An error says why the copy is not exact,
// with offsets, or that more than how.Limit bytes would have to be read (ErrLimit).
func (p Pair) Align(ctx context.Context, partition int32, our, their Stretch, how Aligning) (Aligned, error) {
	w := &aligning{Pair: p, Aligning: how, partition: partition, a: align.New(), home: our, copied: their}
	w.a.HomeCompacts, w.a.CopyCompacts = p.HomeCompacts, p.CopyCompacts
	if !how.Resumes {
		from, err := p.near(ctx, partition, our, their)
		if err != nil {
			return Aligned{}, err
		}
		w.copied.From, w.a.Lead = from, true
	}
	begin := w.copied.From
	if err := w.run(ctx); err != nil {
		return Aligned{}, err
	}
	return w.found(our, their, begin)
}

// Aligning is how an Align goes about.
type Aligning struct {
	// Hidden says which records of the home are none of the virtual log.
	Hidden func(offset int64) bool
	// Resumes says that the records in front of both stretches are known to be the same.
	Resumes bool
	// Behind says that the copy can't have what is not in the stretch of the home: a record that it
	// has besides is somebody else's. Complete says that it will not get more, either.
	Behind, Complete bool
	// Limit is how many bytes may be read.
	Limit int64
}

// aligning is an Align on its way.
type aligning struct {
	Pair
	Aligning
	partition    int32
	bytes        int64
	a            *align.Aligner
	home, copied Stretch // that are left to read
	looked       bool    // at what is in front of the home's stretch
	open, short  bool    // the home, or the copy, can't be read to the end of its stretch
}

func (w *aligning) run(ctx context.Context) error {
	first := w.home.From
	for {
		w.a.Go(false)
		_, _, ours, theirs := w.a.Done()
		// A copy that is just ahead of what was read of the home is not stuck.
		stuck := w.a.Stuck() && (ours > 0 || w.Behind)
		switch {
		case stuck && !w.looked:
			w.looked = true
			if err := w.lookBack(ctx, first); err != nil {
				return err
			}
		case ours < align.Ahead && w.home.From < w.home.To:
			if err := w.readHome(ctx); err != nil {
				return err
			}
		case theirs < align.Ahead && w.copied.From < w.copied.To:
			if err := w.readCopy(ctx); err != nil {
				return err
			}
		case stuck:
			w.a.Concede()
		case ours > 0 && theirs > 0 && w.copied.From < w.copied.To:
			if err := w.readCopy(ctx); err != nil {
				return err
			}
		case w.Behind && !w.open && w.a.Repeats():
		default:
			w.a.Go(w.Complete)
			return w.faults()
		}
		if faults, _ := w.a.Faults(false); len(faults) == align.MostFaults || slices.ContainsFunc(faults, missing) {
			return w.faults()
		}
	}
}

// near is an offset of the copy that is not behind the first record of a stretch of the home. Where
// both have the producer's timestamps it is close: the copy is asked for the first record that is
// not older than those with which the stretch begins.
func (p Pair) near(ctx context.Context, partition int32, our, their Stretch) (int64, error) {
	if !p.Prints.Timestamps || our.From >= our.To {
		return their.From, nil
	}
	oldest := int64(math.MaxInt64)
	err := p.Home.Fetch(ctx, partition, our.From, joint.ReadBytes, func(records []byte) error {
		_, err := walk(records, our.From, our.To, func(b kafka.Batch) error {
			list, err := p.Prints.Within.Records(b)
			for _, r := range list {
				if r.Offset >= our.From {
					oldest = min(oldest, r.Timestamp)
				}
			}
			return err
		})
		return err
	})
	if err != nil || oldest < 0 || oldest == math.MaxInt64 {
		return their.From, err
	}
	at, err := p.Copy.since(ctx, partition, oldest)
	if at < 0 { // all that the copy has is older
		at = their.To
	}
	return max(at, their.From), err
}

// read adds bytes to what was read.
func (w *aligning) read(bytes int64) error {
	if w.bytes += bytes; w.Limit > 0 && w.bytes > w.Limit {
		return fmt.Errorf("partition %d: more than %w (%d bytes) would have to be compared, behind offset %d", w.partition, ErrLimit, w.Limit, w.home.From)
	}
	return nil
}

func (w *aligning) readHome(ctx context.Context) error {
	var records []align.Record
	to := min(w.home.From+readAhead, w.home.To)
	next, bytes, err := w.Home.Data(ctx, w.Prints, w.partition, w.home.From, to, func(r align.Record) {
		if w.Hidden(r.Offset) {
			w.a.Aside(r)
			return
		}
		records = append(records, r)
	})
	if err != nil {
		return err
	}
	if w.a.Home(records...); next < to {
		w.home.To, w.open = next, true // there is no more
	}
	w.home.From = next
	return w.read(bytes)
}

func (w *aligning) readCopy(ctx context.Context) error {
	var records []align.Record
	to := min(w.copied.From+readAhead, w.copied.To)
	next, bytes, err := w.Copy.Data(ctx, w.Prints, w.partition, w.copied.From, to, func(r align.Record) { records = append(records, r) })
	if err != nil {
		return err
	}
	if w.a.Copy(records...); next < to {
		w.copied.To, w.short = next, true
	}
	w.copied.From = next
	return w.read(bytes)
}

// lookBack tells the aligner of what is in front of what it was given of the home.
func (w *aligning) lookBack(ctx context.Context, first int64) error {
	starts, err := w.Home.Starts(ctx)
	if err != nil {
		return err
	}
	var records []align.Record
	from := max(first-lookBack, starts[w.partition])
	_, bytes, err := w.Home.Data(ctx, w.Prints, w.partition, from, first, func(r align.Record) { records = append(records, r) })
	if err != nil {
		return err
	}
	w.a.Remember(records...)
	return w.read(bytes)
}

func missing(f align.Fault) bool { return f.Kind == align.Missing }

// faults are what keeps the copy from being exact, as an error: what it lacks tells most.
func (w *aligning) faults() error {
	faults, more := w.a.Faults(true)
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

// found is what the aligner has found, as a distance. begin is where it began on the copy.
func (w *aligning) found(our, their Stretch, begin int64) (out Aligned, err error) {
	home, copied, left, waiting := w.a.Done()
	out.Short = w.short || waiting > 0
	out.From, out.To, out.Copy, out.Left = our.From, max(home+1, our.From), max(copied+1, begin), left
	switch {
	case left > 0:
	case w.Complete: // what the copy has behind the last record is none of the home's
		out.To, out.Copy = our.To, their.To
	default: // and what the home has is no data
		out.To = max(w.home.To, our.From)
	}
	runs := w.a.Runs()
	if len(runs) == 0 {
		out.Distance = catalog.At(out.To, out.Copy)
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
