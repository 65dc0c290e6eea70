// Package state is the store behind the catalog: one fenced log of entries. Here it is an embedded
// file; a compacted Kafka topic for fleets of gateways can stand behind the same interface.
package state

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// ErrFenced says that another process has taken over the store: nothing of the call was written.
var ErrFenced = errors.New("state: another gateway has taken over this store")

// ErrInUse says that another process has the store open.
var ErrInUse = errors.New("state: the store is in use by another gateway")

// ErrDamaged says that a file is not what was written, or no store.
var ErrDamaged = errors.New("state: the file is damaged, or is no store: put back a copy of it, or take it away to begin without " +
	"(topics that have moved then begin at offset 0 of their home, with new ids)")

var errNewer = errors.New("a newer version has written it: start that one, or put back a copy from before")

// Store is a fenced log.
type Store interface {
	catalog.Log
	// Load returns the newest value of every key.
	Load(ctx context.Context) ([]catalog.Entry, error)
	Close() error
}

// File is a Store in one crash-safe file: a call of Append is one synced transaction.
type File struct {
	path  string
	db    *bbolt.DB
	fence uint64
}

// Open opens or creates the store in dir and fences off whoever had it before. It waits up to a
// second for a closing process, then returns ErrInUse. What is in the file is checked, and written
// into a new one that takes its place: nothing of an old file is trusted later, such as its list of
// free pages.
func Open(dir string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	path := filepath.Join(dir, "sluice.db")
	for {
		f, err := openAt(path)
		if !errors.Is(err, errMade) {
			return f, err
		}
	}
}

func openAt(path string) (*File, error) {
	release, err := lock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return replace(path, content{fence: 1}, link)
	}
	if err != nil {
		return nil, err
	}
	defer release()
	c, err := contents(path)
	if err != nil {
		return nil, err
	}
	left, _ := filepath.Glob(path + fresh + "*") // by processes that were killed
	for _, l := range left {
		_ = os.Remove(l)
	}
	c.fence++
	return replace(path, c, os.Rename)
}

// contents is what is in the file at path.
func contents(path string) (content, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return content{}, fmt.Errorf("state: %w", err)
	}
	c, err := read(file)
	if err != nil {
		return content{}, refusal(path, err)
	}
	return c, nil
}

// refusal says what is wrong with a file.
func refusal(path string, err error) error {
	var d damage
	if errors.As(err, &d) {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, d)
	}
	return fmt.Errorf("state: %s: %w", path, err)
}

// errMade says that another process has made the file meanwhile.
var errMade = errors.New("state: another gateway has just made this store")

// fresh is what the names of files end with, and then something random, that are to take the place
// of a store.
const fresh = ".new-"

// link gives a file another name, unless one has it already: of two processes that begin, one does.
func link(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return errMade
	}
	return os.Rename(from, to) // a file system without links
}

// lock waits until nobody else has the file that is at path open.
func lock(path string) (release func(), err error) {
	for {
		before, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		if before.Size() == 0 {
			return nil, refusal(path, damaged("it is empty"))
		}
		db, err := open(path)
		if errors.Is(err, ErrInUse) {
			return nil, err
		}
		release := func() {
			if db != nil {
				_ = db.Close()
			}
		}
		after, serr := os.Stat(path)
		if serr == nil && os.SameFile(before, after) {
			if err == nil {
				return release, nil
			}
			file, rerr := os.ReadFile(path) // what is wrong with it is better said by read
			if rerr == nil {
				if _, why := read(file); why != nil {
					return nil, refusal(path, why)
				}
			}
			return nil, refusal(path, damaged("%v", err))
		}
		release() // another process has put a new one in its place
	}
}

// open opens a database, of which a damaged one panics.
func open(path string) (db *bbolt.DB, err error) {
	defer faults()()
	defer recovered(&err)
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return db, err
}

// replace writes a new file and puts it at path.
func replace(path string, c content, place func(from, to string) error) (*File, error) {
	made := fmt.Sprintf("%s%s%x", path, fresh, rand.Uint64())
	db, err := open(made)
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", made, err)
	}
	f := &File{path: path, db: db, fence: c.fence}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(entries); err != nil {
			return err
		}
		m, err := tx.CreateBucket(meta)
		if err != nil {
			return err
		}
		return errors.Join(m.Put(fenceKey, binary.BigEndian.AppendUint64(nil, f.fence)), m.Put(headKey, head{format: format}.bytes()))
	})
	if err == nil {
		err = f.Append(context.Background(), c.entries...)
	}
	if err == nil {
		err = place(made, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(made)
		return nil, errors.Join(fmt.Errorf("state: %s: %w", path, err), db.Close())
	}
	return f, nil
}

// syncDir makes a rename survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read returns the newest value of every key of the store in dir without taking it from anybody:
// while a gateway has it, that is ErrInUse. Where there is no store, there are none.
func Read(dir string) ([]catalog.Entry, error) {
	path := filepath.Join(dir, "sluice.db")
	release, err := lock(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case err != nil:
		return nil, err
	}
	defer release()
	c, err := contents(path)
	if err != nil {
		return nil, err
	}
	return c.entries, nil
}

// Load returns the newest value of every key.
func (f *File) Load(context.Context) (out []catalog.Entry, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(entries)
		if b == nil { // nobody has come to write any
			return nil
		}
		return b.ForEach(func(k, stored []byte) error {
			v, err := unseal(k, stored)
			if err != nil {
				return refusal(f.path, err)
			}
			kind, key, _ := strings.Cut(string(k), "\x00")
			out = append(out, catalog.Entry{Kind: kind, Key: key, Value: append([]byte{}, v...)})
			return nil
		})
	})
	return out, err
}

// Append writes entries durably: all or none.
func (f *File) Append(ctx context.Context, list ...catalog.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.db.Update(func(tx *bbolt.Tx) error {
		m := tx.Bucket(meta)
		if binary.BigEndian.Uint64(m.Get(fenceKey)) != f.fence {
			return ErrFenced
		}
		h, err := parseHead(m.Get(headKey))
		if err != nil {
			return refusal(f.path, err)
		}
		b := tx.Bucket(entries)
		for _, e := range inOrder(list) {
			if err := put(b, &h, e); err != nil {
				return fmt.Errorf("state: %s %q: %w", e.Kind, e.Key, err)
			}
		}
		return m.Put(headKey, h.bytes())
	})
}

// inOrder sorts entries as the file keeps them: many that are new cost the square of their number
// where each is put in front of others. Of several with one key the last one counts.
func inOrder(list []catalog.Entry) []catalog.Entry {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b catalog.Entry) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	})
	return list
}

func put(b *bbolt.Bucket, h *head, e catalog.Entry) error {
	key := []byte(e.Kind + "\x00" + e.Key)
	h.take(key, b.Get(key))
	if e.Value == nil {
		return b.Delete(key)
	}
	stored := seal(key, e.Value)
	h.add(key, stored)
	return b.Put(key, stored)
}

// Close releases the file.
func (f *File) Close() error { return f.db.Close() }
