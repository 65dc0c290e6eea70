package workbench

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// Watch builds the project in a folder whenever its source has changed and come to rest, and tells
// of each build, until ctx ends. The first build is at once.
func Watch(ctx context.Context, dir string, built func(file string, took time.Duration, err error)) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last, seen time.Time
	for first := true; ; first = false {
		now := newest(dir)
		if first || !now.Equal(last) && now.Equal(seen) {
			last = now
			began := time.Now()
			file, err := Build(ctx, dir)
			built(file, time.Since(began), err)
		}
		seen = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// newest is when the source of a project changed last.
func newest(dir string) (last time.Time) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // it is gone again
		case d.IsDir() && (d.Name() == "target" || d.Name() == "state" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || !slices.Contains([]string{".go", ".mod", ".rs", ".toml", ".c", ".h"}, filepath.Ext(p)):
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	return last
}
