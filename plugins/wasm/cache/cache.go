// Package cache is the folder in which compiled modules and images are kept between runs.
package cache

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// limit bounds the compiled modules that are kept on disk, and the images, in bytes each.
const limit = 1 << 30

// imagesFolder is in the folder of what is kept.
const imagesFolder = "images"

// Modules is where compiled code is kept. Whoever has put more there calls trim.
func Modules() (folder string, trim func(), err error) {
	if folder, err = dir(); err != nil {
		return "", nil, err
	}
	return folder, func() { trimTo(folder, limit, filepath.Join(folder, imagesFolder)) }, nil
}

// Images is where images are kept.
func Images() (folder string, err error) {
	if folder, err = dir(); err != nil {
		return "", err
	}
	folder = filepath.Join(folder, imagesFolder)
	clearAbove(folder, limit)
	return folder, nil
}

// dir is where compiled code is kept between runs. It is executable code: nobody else may
// write there.
func dir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(base, "sluice", "wasm")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	if !private(info) {
		return "", fmt.Errorf("%s is not a folder that only its owner may enter", folder)
	}
	return folder, nil
}

// cachedFile is one that is kept.
type cachedFile struct {
	path string
	size int64
	used time.Time
}

// cachedFiles are those of a folder without some others in it, and their size together. What goes
// meanwhile is not among them.
func cachedFiles(dir string, without ...string) (out []cachedFile, size int64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case d.IsDir() && slices.Contains(without, path):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			out = append(out, cachedFile{path, info.Size(), info.ModTime()})
			size += info.Size()
		}
		return nil
	})
	return out, size
}

// trimTo deletes files of a folder, those first that were made or used longest ago, until the
// others are within a limit. Whoever wants one of them makes it again.
func trimTo(dir string, limit int64, without ...string) {
	files, size := cachedFiles(dir, without...)
	slices.SortFunc(files, func(a, b cachedFile) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if size <= limit {
			return
		}
		if os.Remove(f.path) == nil {
			size -= f.size
		}
	}
}

// clearAbove deletes a folder that has become larger than a limit, whose files count on each other.
func clearAbove(dir string, limit int64) {
	if _, size := cachedFiles(dir); size > limit {
		_ = os.RemoveAll(dir)
	}
}
