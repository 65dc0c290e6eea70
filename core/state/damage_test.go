package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// written is the file of a store with n entries, some of them changed and deleted, and what is in
// it.
func written(t *testing.T, n int) (file []byte, list []catalog.Entry) {
	t.Helper()
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		e := catalog.Entry{Kind: "topic", Key: fmt.Sprintf("vc\x00orders-%d", i), Value: []byte(strings.Repeat(fmt.Sprint("value of ", i), 10))}
		gone := catalog.Entry{Kind: "move", Key: fmt.Sprint(i), Value: []byte("gone")}
		if err := f.Append(t.Context(), gone, catalog.Entry{Kind: e.Kind, Key: e.Key, Value: []byte("before")}); err != nil {
			t.Fatal(err)
		}
		gone.Value = nil
		if err := f.Append(t.Context(), e, gone); err != nil {
			t.Fatal(err)
		}
	}
	list, err = f.Load(t.Context())
	if err != nil || len(list) != n {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(filepath.Join(dir, "sluice.db"))
	if err != nil {
		t.Fatal(err)
	}
	return file, list
}

// check reads a file in which a byte was changed: it is refused, or nothing of what matters has
// changed.
func check(t *testing.T, file []byte, at int, want []catalog.Entry) (refused bool) {
	t.Helper()
	c, err := read(file)
	if err != nil {
		return true
	}
	if !reflect.DeepEqual(c.entries, want) {
		t.Fatalf("byte %d: other entries are served", at)
	}
	return false
}

func TestAFlippedByteIsNeverServed(t *testing.T) {
	file, want := written(t, 3)
	refused := 0
	for at := range file {
		before := file[at]
		file[at] ^= 1 << (at % 8)
		if check(t, file, at, want) {
			refused++
		}
		file[at] = before
	}
	if refused < 500 {
		t.Errorf("%d of %d bytes were found", refused, len(file))
	}
}

func TestRandomBytesAreNeverServed(t *testing.T) {
	file, want := written(t, 300)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 3000 {
		at, n := random.IntN(len(file)-8), 1+random.IntN(8)
		before := string(file[at : at+n])
		for i := range n {
			file[at+i] = byte(random.Uint32())
		}
		check(t, file, at, want)
		copy(file[at:], before)
	}
	for range 100 { // cut off
		check(t, file[:random.IntN(len(file))], -1, want)
	}
}

// put is a directory with a file of a store.
func dirWith(t *testing.T, file []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sluice.db"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestADamagedFileIsRefusedAndKept, also where the database itself would panic.
func TestADamagedFileIsRefusedAndKept(t *testing.T) {
	file, _ := written(t, 300)
	for at := 16; at < len(file); at += len(file) / 40 {
		if c := string(file[at : at+8]); c == "\x00\x00\x00\x00\x00\x00\x00\x00" {
			continue
		}
		bad := append([]byte{}, file...)
		bad[at] ^= 0xff
		dir := dirWith(t, bad)
		f, err := Open(dir)
		if err == nil {
			_ = f.Close()
			continue // it was in an unused page
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
		if kept, err := os.ReadFile(filepath.Join(dir, "sluice.db")); err != nil || string(kept) != string(bad) {
			t.Errorf("byte %d: the file has changed (%v)", at, err)
		}
	}
}

func TestWhatIsNoStoreIsRefused(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("things")); return err })
	_ = db.Close()
	other, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"empty": {}, "text": []byte(strings.Repeat("hello\n", 10_000)), "short": []byte("x"), "another program's": other} {
		dir := dirWith(t, file)
		if _, err := Open(dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "take it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// edit changes the trees of a closed store.
func edit(t *testing.T, dir string, f func(m, e *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "sluice.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket(meta), tx.Bucket(entries)) }); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
}

func TestAMissingEntryIsNoticed(t *testing.T) {
	file, _ := written(t, 3)
	dir := dirWith(t, file)
	edit(t, dir, func(_, e *bbolt.Bucket) error { return e.Delete([]byte("topic\x00vc\x00orders-1")) })
	if _, err := Open(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func TestAMissingHeadIsNoticed(t *testing.T) {
	file, _ := written(t, 3)
	dir := dirWith(t, file)
	edit(t, dir, func(m, _ *bbolt.Bucket) error { return m.Delete(headKey) })
	if _, err := Open(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func TestStateOfANewerVersionIsRefused(t *testing.T) {
	file, _ := written(t, 3)
	dir := dirWith(t, file)
	edit(t, dir, func(m, _ *bbolt.Bucket) error { return m.Put(headKey, head{format: format + 1}.bytes()) })
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

// TestOlderStateIsUpgraded: the first format had neither checksums nor a head.
func TestOlderStateIsUpgraded(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "sluice.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Update(func(tx *bbolt.Tx) error {
		m, _ := tx.CreateBucket(meta)
		e, _ := tx.CreateBucket(entries)
		return errors.Join(m.Put(fenceKey, binary.BigEndian.AppendUint64(nil, 7)), e.Put([]byte("cluster\x00a"), []byte("1")))
	})
	_ = db.Close()
	for range 2 {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		{
			got, err := f.Load(t.Context())
			about := fact.Of(t, "%+v %v", got, err)
			if fact.NoError(about, err) && fact.Equal(about, "len(got)", len(got), 1) {
				fact.Equal(about, "string(got[0].Value)", string(got[0].Value), "1")
				fact.Equal(about, "got[0].Key", got[0].Key, "a")
			}
		}
		if f.fence < 8 {
			t.Errorf("fence %d", f.fence)
		}
		_ = f.Close()
	}
}

// stored2 is a topic as the second format had it: one entry with its partitions, and those that it
// had before a move that is being published.
const stored2 = `{"name":"a","id":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],"home":"dr","names":{"prod":"p.a"},"generation":1,"published":0,
"before":{"name":"a","id":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],"home":"prod","names":{"prod":"p.a"},"generation":0,"published":0,
"partitions":[{"segments":[{"generation":0,"cluster":"prod"}],"runs":[{"v":0,"p":0}],"ceiling":2097152},{"segments":[{"generation":0,"cluster":"prod"}],"runs":[{"v":0,"p":0}]}]},
"partitions":[{"segments":[{"generation":0,"cluster":"prod","end":7},{"generation":1,"start":7,"physical_start":9,"cluster":"dr"}],"runs":[{"v":0,"p":2}],"deltas":{"prod":-2},"ceiling":2097152},
{"segments":[{"generation":0,"cluster":"prod"},{"generation":1,"cluster":"dr"}],"runs":[{"v":0,"p":0}],"shown":true}]}`

// TestTopicsOfTheSecondFormatAreRead, once and for all: what is then in the file is of this format.
func TestTopicsOfTheSecondFormatAreRead(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	edit(t, dir, func(m, e *bbolt.Bucket) error {
		key, h := []byte("topic\x00vc\x00a"), head{format: 2}
		value := seal(key, []byte(stored2))
		h.add(key, value)
		return errors.Join(e.Put(key, value), m.Put(headKey, h.bytes()))
	})
	var want catalog.Topic
	if err := json.Unmarshal([]byte(stored2), &want); err != nil {
		t.Fatal(err)
	}
	want.Partitions[0].Distance = catalog.At(0, 2)
	want.Partitions[0].Copies = map[string]catalog.Alignment{"prod": {}}
	for _, load := range []func() ([]catalog.Entry, error){
		func() ([]catalog.Entry, error) { return Read(dir) },
		func() ([]catalog.Entry, error) { return reopened(t, dir) },
		func() ([]catalog.Entry, error) { return reopened(t, dir) },
	} {
		entries, err := load()
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 5 {
			t.Errorf("%d entries, want the topic's and those of its two partitions in two generations", len(entries))
		}
		c, err := catalog.New(nil, entries)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Virtual("vc").Topic("a")
		if !reflect.DeepEqual(got.Partitions, want.Partitions) {
			t.Errorf("partitions %+v, want %+v", got.Partitions, want.Partitions)
		}
		if !reflect.DeepEqual(got.Before.Partitions, want.Before.Partitions) {
			t.Errorf("partitions before %+v, want %+v", got.Before.Partitions, want.Before.Partitions)
		}
		if got.Home != "dr" || got.Before.Home != "prod" || got.ID != want.ID {
			t.Errorf("%+v before %+v", got, got.Before)
		}
	}
}

// TestPartitionsOfTheThirdFormatAreRead: their runs had no end, and a copy was at one distance.
func TestPartitionsOfTheThirdFormatAreRead(t *testing.T) {
	stored := `{"segments":[{"generation":0,"cluster":"prod"},{"generation":1,"start":1000,"physical_start":95,"cluster":"dr"}],
		"runs":[{"v":0,"p":-5},{"v":1000,"p":95}],"deltas":{"prod":5},"ceiling":2000}`
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	edit(t, dir, func(m, e *bbolt.Bucket) error {
		h := head{format: 3}
		var errs []error
		for key, value := range map[string]string{
			"topic\x00vc\x00a":               `{"name":"a","home":"dr","generation":1,"published":1,"partitions":1}`,
			"partition\x00vc\x00a\x001\x000": stored,
		} {
			sealed := seal([]byte(key), []byte(value))
			h.add([]byte(key), sealed)
			errs = append(errs, e.Put([]byte(key), sealed))
		}
		return errors.Join(append(errs, m.Put(headKey, h.bytes()))...)
	})
	for range 2 {
		entries, err := reopened(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := catalog.New(nil, entries)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Virtual("vc").Topic("a").Partition(0)
		want := []catalog.Run{{Virtual: 5, Physical: 0, Records: 95}, {Virtual: 1000, Physical: 95, Records: catalog.Open}}
		if got := slices.Collect(p.Distance.Runs()); !slices.Equal(got, want) {
			t.Errorf("runs %v, want %v", got, want)
		}
		if delta, known := p.Delta("prod"); !known || delta != 5 {
			t.Errorf("the copy is at %d (%t), want 5", delta, known)
		}
	}
}

// TestDistancesOfTheFourthFormatAreRead: those with many runs were part of their partition's entry,
// and are not lost when the partition changes.
func TestDistancesOfTheFourthFormatAreRead(t *testing.T) {
	var runs []catalog.Run
	for i := range int64(1000) {
		runs = append(runs, catalog.Run{Virtual: 500 * i, Physical: 501 * i, Records: 500})
	}
	want, err := catalog.DistanceOf(runs...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	edit(t, dir, func(m, e *bbolt.Bucket) error {
		h := head{format: 4}
		var errs []error
		for key, value := range map[string]string{
			"topic\x00vc\x00a":               `{"name":"a","home":"prod","partitions":1}`,
			"partition\x00vc\x00a\x000\x000": `{"segments":[{"cluster":"prod"}],"copies":{"dr":{"distance":` + string(text) + `,"from":400000,"to":500000}}}`,
		} {
			sealed := seal([]byte(key), []byte(value))
			h.add([]byte(key), sealed)
			errs = append(errs, e.Put([]byte(key), sealed))
		}
		return errors.Join(append(errs, m.Put(headKey, h.bytes()))...)
	})
	for i := range 3 {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := f.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := catalog.New(f, entries)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Virtual("vc").Topic("a").Partition(0).Copies["dr"]; !got.Distance.Equal(want) || got.To != 500_000 {
			t.Errorf("time %d: %d runs up to %d, want %d up to 500000", i, got.Distance.Len(), got.To, want.Len())
		} else if got.Front == nil || *got.Front != (catalog.Front{}) {
			t.Errorf("time %d: what is in front of %d is not looked at: %+v", i, got.From, got.Front)
		}
		if err := c.Virtual("vc").Update(t.Context(), "a", func(n *catalog.Topic) error { n.Partitions[0].Ceiling++; return nil }); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
}

// TestADamagedTopicOfTheSecondFormatIsRefused.
func TestADamagedTopicOfTheSecondFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	edit(t, dir, func(m, e *bbolt.Bucket) error {
		key, h := []byte("topic\x00vc\x00a"), head{format: 2}
		value := seal(key, []byte(`{"partitions": 2}`))
		h.add(key, value)
		return errors.Join(e.Put(key, value), m.Put(headKey, h.bytes()))
	})
	if _, err := Open(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func reopened(t *testing.T, dir string) ([]catalog.Entry, error) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return f.Load(t.Context())
}
