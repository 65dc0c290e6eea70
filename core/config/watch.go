package config

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	debounce = 100 * time.Millisecond
	poll     = 2 * time.Second
)

// Watcher tells when the content of a file has changed, however it is replaced: written in place,
// renamed over, removed and made again, or a symlink on the way (a mounted ConfigMap) turned.
type Watcher struct {
	path  string
	check chan struct{}
}

// NewWatcher returns a watcher of a file.
func NewWatcher(path string) *Watcher { return &Watcher{path: path, check: make(chan struct{}, 1)} }

// Check looks at the file now, as on SIGHUP.
func (w *Watcher) Check() {
	select {
	case w.check <- struct{}{}:
	default:
	}
}

// Run calls changed with the new content until ctx ends. last is the content that is known already.
// A half-written file is reported like any other content: the next write is reported again.
func (w *Watcher) Run(ctx context.Context, last []byte, changed func(source []byte)) error {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = fs.Close() }()
	watched := map[string]bool{}
	known := sha256.Sum256(last)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		// The folders of the name and of what it links to; a folder made anew is added again.
		for _, dir := range folders(w.path) {
			if !watched[dir] || !contains(fs.WatchList(), dir) {
				watched[dir] = fs.Add(dir) == nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-fs.Events:
			quiet.Reset(debounce)
			continue
		case <-fs.Errors:
		case <-w.check:
		case <-tick.C:
			if i, err := os.Stat(w.path); err == nil && time.Since(i.ModTime()) < debounce {
				continue // somebody is writing
			}
		case <-quiet.C:
		}
		source, err := os.ReadFile(w.path)
		if err != nil {
			continue // between remove and create
		}
		if sum := sha256.Sum256(source); sum != known {
			known = sum
			changed(source)
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// folders lists the folders in which a change may change the file's content.
func folders(path string) []string {
	out := []string{filepath.Dir(path)}
	for range 8 {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
		out = append(out, filepath.Dir(path))
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		out = append(out, filepath.Dir(real))
	}
	return out
}
