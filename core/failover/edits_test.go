package failover

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestANewerEditAbortsAMoveBeforeItsCommit: wherever it stands, held clients go on at once.
func TestANewerEditAbortsAMoveBeforeItsCommit(t *testing.T) {
	for name, c := range map[string]struct {
		reach func(w *world) // keeps the move in its phase
		phase Phase
	}{
		"pending":   {func(w *world) { w.DR.Topics["orders"].Configs["max.message.bytes"] = "1" }, Pending},
		"pre-check": {func(w *world) { w.Prod.Grow("orders", 100, 105) }, Check},
		"hold":      {func(w *world) { w.produce("orders") }, Hold},
		"prepare": {func(w *world) {
			p := w.produce("orders")
			go func() {
				time.Sleep(time.Second)
				w.Prod.Grow("orders", 100, 105)
				p.pass.Leave()
			}()
		}, Prepare},
	} {
		for _, to := range []string{"prod", "", "dr"} {
			t.Run(name+" "+to, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, "orders")
					c.reach(w)
					w.edit("dr", "orders")
					fakes.Pass(1100 * time.Millisecond)
					old := w.last("orders")
					if old.Phase != c.phase {
						t.Fatalf("phase %s", old.Phase)
					}
					held := w.produce("orders")
					if c.phase == Pending || c.phase == Check {
						held.answer()
					}
					w.edit(to, "orders")
					all := w.runner.Moves()
					about := fact.Of(t, "the old move: %s, %q", all[0].Phase, all[0].Error)
					fact.Equal(about, "all[0].ID", all[0].ID, old.ID)
					fact.Equal(about, "all[0].Phase", all[0].Phase, Dropped)
					fact.False(about, "all[0].Ended.IsZero()", all[0].Ended.IsZero())
					fact.Has(about, all[0].Error, "newer edit")
					if to == "dr" { // asked for again: a new move in its place
						if len(all) != 2 || all[1].To != "dr" || !all[1].Ended.IsZero() {
							t.Errorf("moves %+v", all)
						}
						return
					}
					about = fact.Of(t, "%d moves, the held produce passed: %t, %v", len(all), held.in(), held.err)
					if fact.Equal(about, "len(all)", len(all), 1) && fact.Equal(about, "len(w.runner.Pending())", len(w.runner.Pending()), 0) {
						fact.True(about, "held.in()", held.in())
						if fact.NoError(about, held.err) {
							fact.True(about, `w.reads("orders")`, w.reads("orders"))
						}
					}
					w.lives("orders", "prod", 0)
				})
			})
		}
	}
}

// TestANewerEditQueuesBehindACommittedMove: the first one is published before the second begins,
// and only the last of several edits counts.
func TestANewerEditQueuesBehindACommittedMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		p := w.produce("orders")
		w.edit("dr", "orders")
		held := w.produce("orders")
		p.answer()
		fakes.Pass(time.Second)
		first := w.last("orders")
		if first.Phase != Drain {
			t.Fatalf("phase %s", first.Phase)
		}
		w.edit("prod", "orders")
		w.edit("dr", "orders")
		w.edit("prod", "orders")
		fakes.Pass(5 * time.Second)
		if m := w.last("orders"); m.Phase != Pending || m.Attempts != 0 {
			t.Errorf("the second move did not wait: %s after %d attempts", m.Phase, m.Attempts)
		}
		if got := w.lives("orders", "dr", 1); got.Published != 0 {
			t.Error("published before the held produce is answered")
		}
		if all := w.runner.Moves(); all[0].ID != first.ID || all[0].Phase != Drain {
			t.Errorf("the move that is being published is not listed: %+v", all)
		}
		held.answer()
		fakes.Pass(time.Second)
		all := w.runner.Moves()
		last := all[len(all)-1]
		about := fact.Of(t, "moves %+v", all)
		fact.Equal(about, "all[0].ID", all[0].ID, first.ID)
		fact.Equal(about, "all[0].Phase", all[0].Phase, Done)
		fact.Equal(about, "last.Phase", last.Phase, Done)
		fact.Equal(about, "last.From", last.From, "dr")
		fact.Equal(about, "last.To", last.To, "prod")
		if begun := last.Steps[slices.IndexFunc(last.Steps, func(s Step) bool { return s.Phase == Check })].At; begun.Before(all[0].Ended) {
			t.Errorf("begun %s, but the first one ended %s", begun, all[0].Ended)
		}
		for _, m := range all[1 : len(all)-1] {
			if m.Phase != Dropped {
				t.Errorf("an edit between: %+v", m)
			}
		}
		w.lives("orders", "prod", 2)
	})
}

// blocks lets commits of topics wait, and what else is written not.
func blocks(written chan struct{}) func([]catalog.Entry) {
	return func(entries []catalog.Entry) {
		if slices.ContainsFunc(entries, func(e catalog.Entry) bool { return e.Kind == catalog.KindTopic }) {
			<-written
		}
	}
}

// TestAnEditDuringTheCommit finds a catalog that does not say yet where the topic will live, and
// must not take that for its answer.
func TestAnEditDuringTheCommit(t *testing.T) {
	for to, generation := range map[string]int32{"prod": 2, "dr": 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "orders")
			written := make(chan struct{})
			w.Store.Set(nil, blocks(written))
			w.edit("dr", "orders")
			fakes.Pass(time.Second)
			if m := w.last("orders"); m.Phase != Commit || w.env.Catalog.Topic("orders").Home != "prod" {
				t.Fatalf("phase %s", m.Phase)
			}
			w.edit(to, "orders")
			close(written)
			fakes.Pass(time.Second)
			if got := w.lives("orders", to, generation); got.Published != generation || len(w.runner.Pending()) != 0 {
				t.Errorf("published %d, pending %+v", got.Published, w.runner.Pending())
			}
		})
	}
}

// TestAnEditBehindTheCommitCutsNothingShort: held produces are answered before clients are told,
// also if the topic is to live nowhere next.
func TestAnEditBehindTheCommitCutsNothingShort(t *testing.T) {
	for _, to := range []string{"", "prod", "dr"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "orders")
			p := w.produce("orders")
			w.edit("dr", "orders")
			held := w.produce("orders")
			p.answer()
			fakes.Pass(time.Second)
			w.edit(to, "orders")
			if m := w.runner.Moves()[0]; m.Phase != Drain || w.env.Catalog.Topic("orders").Published != 0 {
				t.Errorf("to %q: %s, published %d", to, m.Phase, w.env.Catalog.Topic("orders").Published)
			}
			held.answer()
			if m := w.runner.Moves()[0]; m.Phase != Done || w.env.Catalog.Topic("orders").Published == 0 {
				t.Errorf("to %q: %s at the end", to, m.Phase)
			}
		})
	}
}

// TestACommitThatFailsBehindANewerEdit is not tried again: the newer edit goes on.
func TestACommitThatFailsBehindANewerEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		written := make(chan struct{})
		w.Store.Set(errors.New("disk full"), blocks(written))
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		w.edit("prod", "orders")
		close(written)
		synctest.Wait()
		w.Store.Set(nil, nil)
		fakes.Pass(10 * time.Second)
		w.lives("orders", "prod", 0)
		if all := w.runner.Moves(); all[0].Phase != Dropped || all[0].Attempts != 1 || len(w.runner.Pending()) != 0 {
			t.Errorf("moves %+v", all)
		}
	})
}

// committedOnly moves a topic to dr up to the publish, which the store fails.
func (w *world) committedOnly(topic string) {
	w.T.Helper()
	p := w.produce(topic)
	w.edit("dr", topic)
	held := w.produce(topic)
	p.answer()
	fakes.Pass(time.Second)
	w.Store.Set(errors.New("disk full"), nil)
	held.answer()
	if got := w.lives(topic, "dr", 1); got.Published != 0 || got.Before == nil {
		w.T.Fatal("published without the store")
	}
}

// TestPublishingIsRepeated until the store takes it: a topic must not stay between two homes.
func TestPublishingIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.committedOnly("orders")
		moved := w.env.Gates.Moved()
		w.Store.Set(nil, nil)
		fakes.Pass(6 * time.Second)
		select {
		case <-moved:
		default:
			t.Error("fetches that wait at the old home are not told")
		}
		if got := w.lives("orders", "dr", 1); got.Published != 1 || w.last("orders").Phase != Done {
			t.Errorf("published %d, %+v", got.Published, w.last("orders"))
		}
	})
}

// TestOtherEditsLeaveAMoveAlone: an edit of something else, and a reload, keep a pending move.
func TestOtherEditsLeaveAMoveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders", "other")
		w.DR.Topics["orders"].Configs["max.message.bytes"] = "1"
		w.edit("dr", "orders")
		id := w.last("orders").ID
		if out := w.edit("dr", "other"); len(out) != 2 { // both topics live elsewhere
			t.Errorf("Apply returns %+v", out)
		}
		fakes.Pass(time.Second)
		w.apply(Options{})
		if m := w.last("orders"); m.ID != id || m.Phase != Pending || len(w.runner.Moves()) != 2 {
			t.Errorf("moves %+v", w.runner.Moves())
		}
		w.lives("other", "dr", 1) // a refused move holds back nothing else
		w.lives("orders", "prod", 0)
	})
}

// TestACommittedMoveIsPublishedAfterARestart: the catalog says where the topic lives; clients are
// told so at the start.
func TestACommittedMoveIsPublishedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		p := w.produce("orders")
		w.edit("dr", "orders")
		held := w.produce("orders")
		p.answer()
		fakes.Pass(time.Second)
		stored := slices.Clone(w.Store.Entries) // as a crash in drain leaves it
		held.answer()
		w.restart(stored)
		if got := w.lives("orders", "dr", 1); got.Published != 0 || got.View().Home != "prod" {
			t.Fatalf("the test's store is not one of a crash: %+v", got)
		}
		w.apply(Options{})
		if got := w.lives("orders", "dr", 1); got.Published != 1 || got.Before != nil {
			t.Errorf("after the restart: published %d, before %v", got.Published, got.Before)
		}
		w.reopen() // what has become of it is stored
		all := w.runner.Moves()
		about := fact.Of(t, "moves %+v", all)
		if fact.Equal(about, "len(all)", len(all), 1) {
			fact.Equal(about, "all[0].Phase", all[0].Phase, Done)
			fact.False(about, "all[0].Ended.IsZero()", all[0].Ended.IsZero())
			fact.Equal(about, "len(all[0].Notes)", len(all[0].Notes), 1)
		}
	})
}

// TestCloseAbortsWhatIsNotCommitted and waits for it; nobody stays held.
func TestCloseAbortsWhatIsNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders", "other")
		w.DR.Topics["other"].Configs["max.message.bytes"] = "1"
		w.produce("orders")
		w.edit("dr", "orders", "other")
		began := time.Now()
		if err := w.runner.Close(); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		for _, n := range []string{"orders", "other"} {
			if m := w.last(n); m.Phase != Dropped {
				t.Errorf("%s: %s", n, m.Phase)
			}
			w.lives(n, "prod", 0)
		}
		// The file still says so: the next start moves them.
		w.reopen()
		w.apply(Options{})
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
		if m := w.last("other"); m.Phase != Pending {
			t.Errorf("other: %s", m.Phase)
		}
	})
}

// TestWait ends with the move, or with its context.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		if _, ok, err := w.runner.Wait(t.Context(), "vc", Movable{Topic, "orders"}); ok || err != nil {
			t.Errorf("without a move: %t, %v", ok, err)
		}
		p := w.produce("orders")
		w.edit("dr", "orders")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if m, ok, err := w.runner.Wait(ctx, "vc", Movable{Topic, "orders"}); !ok || !errors.Is(err, context.DeadlineExceeded) || m.Phase != Hold {
			t.Errorf("%s, %t, %v", m.Phase, ok, err)
		}
		p.answer()
		if m, ok, err := w.runner.Wait(t.Context(), "vc", Movable{Topic, "orders"}); !ok || err != nil || m.Phase != Done {
			t.Errorf("%s, %t, %v", m.Phase, ok, err)
		}
	})
}

// TestAHoldAsksOnceForProducers, before it waits for the copy: a batch that the old home appends
// afterwards, whose producer has lost the connection, is recognised all the same when it is sent
// again.
func TestAHoldAsksOnceForProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		known := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		known.ProducerID, known.ProducerEpoch, known.LastSequence, known.CurrentTxnStartOffset = 5, 0, 9, -1
		w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, known)
		held, late := 0, false
		w.Prod.Set(func() {
			w.Prod.Before = func(req kmsg.Request) {
				if w.last("orders").Phase != Prepare {
					return
				}
				switch req.(type) {
				case *kmsg.DescribeProducersRequest:
					held++
				case *kmsg.ListOffsetsRequest:
					if !late {
						late = true
						w.Prod.Log("orders").Batch(fakes.Shape{Producer: 5, Sequence: 10}, fakes.Records(100, 110)...)
						w.DR.Log("orders").Batch(fakes.Shape{}, fakes.Records(100, 110)...)
					}
				}
			}
		})
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		memory := w.lives("orders", "dr", 1).Memory()
		if held != 1 {
			t.Errorf("asked for producers %d times while clients are held, want 1", held)
		}
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 10, Last: 19}); v != catalog.Duplicate {
			t.Errorf("what came late and is sent again: verdict %d, want %d", v, catalog.Duplicate)
		}
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 20, Last: 20}); v != catalog.Pass {
			t.Errorf("what follows it: verdict %d, want %d", v, catalog.Pass)
		}
	})
}

// TestAMoveRemembersProducers: batches that only the old home has seen are recognised afterwards
// when they are sent again, and the sequence goes on where it was.
func TestAMoveRemembersProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for i := range 3 {
			for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
				s := fakes.Shape{}
				if f == w.Prod {
					s = fakes.Shape{Producer: 5, Sequence: int32(10 * i)}
				}
				f.Log("orders").Batch(s, fakes.Records(100+10*i, 110+10*i)...)
			}
		}
		// Of another one only the last sequence is left.
		quiet := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		quiet.ProducerID, quiet.ProducerEpoch, quiet.LastSequence, quiet.CurrentTxnStartOffset = 6, 2, 41, -1
		w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, quiet)
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		check := func() {
			t.Helper()
			memory := w.lives("orders", "dr", 1).Memory()
			for _, c := range []struct {
				id   int64
				b    catalog.Remembered
				want catalog.Verdict
				base int64
			}{
				{5, catalog.Remembered{First: 20, Last: 29}, catalog.Duplicate, 120},
				{5, catalog.Remembered{First: 0, Last: 9}, catalog.Duplicate, 100},
				{5, catalog.Remembered{First: 30, Last: 34}, catalog.Pass, -1},
				{6, catalog.Remembered{Epoch: 2, First: 42, Last: 42}, catalog.Pass, -1},
				{7, catalog.Remembered{First: 3, Last: 3}, catalog.Pass, -1}, // nobody knows it
			} {
				if v, base := memory.Judge(0, c.id, c.b); v != c.want || base != c.base {
					t.Errorf("producer %d, %d to %d: verdict %d at %d, want %d at %d", c.id, c.b.First, c.b.Last, v, base, c.want, c.base)
				}
			}
		}
		memory := w.lives("orders", "dr", 1).Memory()
		for id, first := range map[int64]int32{5: 35, 6: 44} {
			if v, _ := memory.Judge(0, id, catalog.Remembered{Epoch: int16(id-5) * 2, First: first, Last: first}); v != catalog.OutOfOrder {
				t.Errorf("producer %d with a gap: verdict %d", id, v)
			}
		}
		check()
		w.reopen() // it is in the same write as the move
		check()
	})
}

// TestTheMoveAndItsMemoryAreOneWrite: a crash leaves all of it or nothing.
func TestTheMoveAndItsMemoryAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		writes := 0
		w.Store.Set(nil, func([]catalog.Entry) { writes++ })
		before := len(w.Store.Entries)
		p := w.produce("orders")
		w.edit("dr", "orders")
		p.answer()
		fakes.Pass(100 * time.Millisecond)
		var kinds []string
		for _, e := range w.Store.Entries[before:] {
			kinds = append(kinds, e.Kind)
		}
		// What was asked for, the commit, what is published, and the report.
		if want := []string{catalog.KindEdit, catalog.KindPartition, catalog.KindTopic, catalog.KindMemory, catalog.KindMove, catalog.KindTopic, catalog.KindPartition, catalog.KindEdit, catalog.KindMove}; !slices.Equal(kinds, want) || writes != 4 {
			t.Errorf("%v in %d writes", kinds, writes)
		}
		c, err := catalog.New(w.Store, w.Store.Entries[:before+5]) // as a crash behind the commit leaves it
		about := fact.Of(t, "committed, %v", err)
		if fact.NoError(about, err) {
			committed := c.Virtual("vc").Topic("orders")
			fact.Equal(about, "committed.Home", committed.Home, "dr")
			fact.Equal(about, "committed.Published", committed.Published, 0)
			fact.True(about, "committed.Before != nil", committed.Before != nil)
		}
	})
}

// TestAnEditThatHasSeenTheTopicBeforeAMoveEnded: the move ends between the list of topics and the
// decision about this one. The edit asks for the way back.
func TestAnEditThatHasSeenTheTopicBeforeAMoveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		seen := w.runner.movables(w.env)[0]
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
		w.Place("prod", "orders")
		if m, _ := w.runner.start(w.env, seen, newTogether(), Options{}); m == nil {
			t.Error("the topic stays where it is")
		}
	})
}
