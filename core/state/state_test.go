package state

import (
	"errors"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
)

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("a second open: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(dir); err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	_ = f.Close()
}

// TestTheLastEntryOfAKeyCounts, whatever else is written with it.
func TestTheLastEntryOfAKeyCounts(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	entry := func(key, value string) catalog.Entry {
		return catalog.Entry{Kind: "k", Key: key, Value: []byte(value)}
	}
	if err := f.Append(t.Context(), entry("b", "first"), entry("c", "x"), entry("a", "x"), entry("b", "last"), catalog.Entry{Kind: "k", Key: "c"}); err != nil {
		t.Fatal(err)
	}
	list, err := f.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Key+"="+string(e.Value))
	}
	if want := []string{"a=x", "b=last"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestOneOfManyGetsAStore, also a new one, and leaves nothing but it.
func TestOneOfManyGetsAStore(t *testing.T) {
	for _, known := range []bool{false, true} {
		dir := t.TempDir()
		if known {
			f, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}
		got, refused := make(chan *File, 8), make(chan error, 8)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if f, err := Open(dir); err == nil {
					got <- f
				} else if refused <- err; !errors.Is(err, ErrInUse) {
					t.Errorf("known %t: %v", known, err)
				}
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Fatalf("known %t: %d have it", known, len(got))
		}
		f := <-got
		if err := f.Append(t.Context(), catalog.Entry{Kind: "move", Key: "a", Value: []byte("1")}); err != nil {
			t.Error(err)
		}
		_ = f.Close()
		if f, err := Open(dir); err != nil {
			t.Error(err)
		} else if list, err := f.Load(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("known %t: what it wrote is lost: %+v %v", known, list, err)
		} else {
			_ = f.Close()
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("known %t: %v are left", known, files)
		}
	}
}

func TestAppendIsKeptAndDeletes(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := catalog.Entry{Kind: "topic", Key: "vc\x00a", Value: []byte("1")}, catalog.Entry{Kind: "move", Key: "b", Value: []byte("2")}
	if err := f.Append(t.Context(), a, b); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), catalog.Entry{Kind: "move", Key: "b"}); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if f, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := f.Load(t.Context())
	about := fact.Of(t, "%+v %v", got, err)
	if fact.NoError(about, err) && fact.Equal(about, "len(got)", len(got), 1) {
		fact.Equal(about, "got[0].Kind", got[0].Kind, a.Kind)
		fact.Equal(about, "got[0].Key", got[0].Key, a.Key)
		fact.Equal(about, "string(got[0].Value)", string(got[0].Value), "1")
	}
}

func TestAFencedStoreWritesNothing(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.fence-- // somebody has opened it since
	if err := f.Append(t.Context(), catalog.Entry{Kind: "move", Key: "a", Value: []byte("1")}); !errors.Is(err, ErrFenced) {
		t.Errorf("append: %v", err)
	}
	if got, _ := f.Load(t.Context()); len(got) != 0 {
		t.Errorf("written: %+v", got)
	}
}

// TestProducerIDsAreNeverGivenOutAgain restarts after every few ids, also at the counter's end.
func TestProducerIDsAreNeverGivenOutAgain(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[int64]bool{}
	for run := range 20 {
		entries, err := f.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := catalog.New(f, entries)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewProducerIDs(c)
		if err != nil {
			t.Fatal(err)
		}
		if run == 10 {
			p.state.Next = producerCounterEnd - producerBlock/2
		}
		for range 1500 {
			id, err := p.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if seen[id] || !catalog.IsGatewayProducer(id) || catalog.ClientProducer(id) != id {
				t.Fatalf("run %d gave out %x (again: %t)", run, id, seen[id])
			}
			seen[id] = true
		}
	}
}
