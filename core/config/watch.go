package config

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// soon is when to look after something has happened: what follows at once is looked at
	// together.
	soon = 10 * time.Millisecond
	// debounce is for how long the content must stay the same before it is reported.
	debounce = 100 * time.Millisecond
	// poll is when to look where nobody tells of changes.
	poll = 2 * time.Second
)

// Watcher tells when the content of a file has changed, however it is replaced: written in place,
// renamed over, removed and made again, or a symlink on the way (a mounted ConfigMap) turned.
type Watcher struct {
	path  string
	check chan struct{}
	poll  time.Duration
}

// NewWatcher returns a watcher of a file.
func NewWatcher(path string) *Watcher {
	return &Watcher{path: path, check: make(chan struct{}, 1), poll: poll}
}

// Check looks at the file now, as on SIGHUP.
func (w *Watcher) Check() {
	select {
	case w.check <- struct{}{}:
	default:
	}
}

// Run calls changed with the new content until ctx ends. last is the content that is known already.
// Only content that has settled is reported: not what somebody is still writing.
func (w *Watcher) Run(ctx context.Context, last []byte, changed func(source []byte)) error {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = fs.Close() }()
	w.run(ctx, fs.Events, fs.Errors, func() {
		// The folders of the name and of what it links to; a folder made anew is added again.
		watched := fs.WatchList()
		for _, dir := range folders(w.path) {
			if !slices.Contains(watched, dir) {
				_ = fs.Add(dir) // polling goes on
			}
		}
	}, newSettler(last), changed)
	return nil
}

// run looks when it is told to, when it is asked to, and now and then. watch makes sure that it is
// told.
func (w *Watcher) run(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, watch func(), s *settler, changed func([]byte)) {
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	due := time.Now()
	in := func(d time.Duration) { // looks then, or earlier if that was said before
		if at := time.Now().Add(d); due.IsZero() || at.Before(due) {
			due = at
			look.Reset(d)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			in(soon)
			continue
		case <-errs:
		case <-w.check:
		case <-tick.C:
		case <-look.C:
			due = time.Time{}
		}
		watch() // before reading, so that what comes behind it is told
		source, err := readFile(w.path)
		if err != nil {
			source = nil // between remove and create, which is never settled
		}
		again, settled := s.see(source, err == nil, time.Now())
		if settled {
			changed(source)
		}
		if again > 0 {
			in(again)
		}
	}
}

// settler decides when content is new and has stayed the same for long enough.
type settler struct {
	known, seen [sha256.Size]byte // reported, and read last
	since       time.Time         // when seen was first read
}

func newSettler(known []byte) *settler {
	sum := sha256.Sum256(known)
	return &settler{known: sum, seen: sum}
}

// see takes what was read. It returns after how long to read again, or that the content has
// settled.
func (s *settler) see(source []byte, there bool, now time.Time) (again time.Duration, settled bool) {
	sum := sha256.Sum256(source)
	switch {
	case !there || sum == s.known:
		s.seen = s.known
		return 0, false
	case sum != s.seen:
		s.seen, s.since = sum, now
	}
	if again = s.since.Add(debounce).Sub(now); again > 0 {
		return again, false
	}
	s.known = sum
	return 0, true
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
