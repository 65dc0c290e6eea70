// Package state is the store behind the catalog: one fenced log of entries. Here it is an embedded
// file; a compacted Kafka topic for fleets of gateways can stand behind the same interface.
package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Store is a fenced log.
type Store interface {
	catalog.Log
	// Load returns the newest value of every key.
	Load(ctx context.Context) ([]catalog.Entry, error)
	Close() error
}

// File is a Store in one crash-safe file: a call of Append is one synced transaction.
type File struct {
	db    *bbolt.DB
	fence uint64
}

var (
	entries  = []byte("entries")
	meta     = []byte("meta")
	fenceKey = []byte("fence")
)

// Open opens or creates the store in dir and fences off whoever had it before. It waits up to a
// second for a closing process, then returns ErrInUse.
func Open(dir string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	path := filepath.Join(dir, "sluice.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", path, err)
	}
	f := &File{db: db}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(entries); err != nil {
			return err
		}
		m, err := tx.CreateBucketIfNotExists(meta)
		if err != nil {
			return err
		}
		if b := m.Get(fenceKey); len(b) == 8 {
			f.fence = binary.BigEndian.Uint64(b)
		}
		f.fence++
		return m.Put(fenceKey, binary.BigEndian.AppendUint64(nil, f.fence))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state: %s: %w", path, err), db.Close())
	}
	return f, nil
}

// Read returns the newest value of every key of the store in dir without taking it from anybody: while a gateway has it,
// that is ErrInUse. Where there is no store, there are none.
func Read(dir string) ([]catalog.Entry, error) {
	path := filepath.Join(dir, "sluice.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 100 * time.Millisecond, ReadOnly: true})
	if errors.Is(err, berrors.ErrTimeout) || errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", path, err)
	}
	f := &File{db: db}
	defer func() { _ = f.Close() }()
	return f.Load(context.Background())
}

// Load returns the newest value of every key.
func (f *File) Load(context.Context) (out []catalog.Entry, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(entries)
		if b == nil { // nobody has come to write any
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
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
		if binary.BigEndian.Uint64(tx.Bucket(meta).Get(fenceKey)) != f.fence {
			return ErrFenced
		}
		b := tx.Bucket(entries)
		for _, e := range list {
			key := []byte(e.Kind + "\x00" + e.Key)
			if e.Value == nil {
				if err := b.Delete(key); err != nil {
					return err
				}
			} else if err := b.Put(key, e.Value); err != nil {
				return fmt.Errorf("state: %s %q: %w", e.Kind, e.Key, err)
			}
		}
		return nil
	})
}

// Close releases the file.
func (f *File) Close() error { return f.db.Close() }
