package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settling is a watcher in a bubble, with a file, and events that the test makes.
type settling struct {
	t      *testing.T
	path   string
	w      *Watcher
	events chan fsnotify.Event
	start  time.Time

	mu   sync.Mutex
	seen []string
	at   []time.Duration // since the start
}

// settle runs a test with a watcher of a file that says "old".
func settle(t *testing.T, test func(s *settling)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &settling{t: t, path: filepath.Join(dir, "sluice.yaml"), events: make(chan fsnotify.Event), start: time.Now()}
		write(t, s.path, "old")
		s.w = NewWatcher(s.path)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.w.run(ctx, s.events, nil, func() {}, newSettler([]byte("old")), func(b []byte) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.seen, s.at = append(s.seen, string(b)), append(s.at, time.Since(s.start))
			})
		}()
		synctest.Wait()
		test(s)
		cancel()
		<-done
	})
}

// after lets time pass.
func (s *settling) after(d time.Duration) {
	time.Sleep(d) // a bubble's, which takes none
	synctest.Wait()
}

// write writes pieces with a pause before each, truncating the file at the first. tell says whether
// each is told of.
func (s *settling) write(pause time.Duration, tell bool, pieces ...string) {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_TRUNC, 0)
	must(s.t, err)
	for _, p := range append([]string{""}, pieces...) {
		if p != "" {
			s.after(pause)
			_, err = f.WriteString(p)
			must(s.t, err)
		}
		if tell {
			s.events <- fsnotify.Event{}
		}
	}
	must(s.t, f.Close())
}

func (s *settling) wants(seen ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.seen, seen) {
		s.t.Errorf("noticed %q at %s, want %q", s.seen, s.at, seen)
	}
}

// TestOnlySettledContentIsNoticed, told of or found by looking, whenever the write begins.
func TestOnlySettledContentIsNoticed(t *testing.T) {
	pieces := []string{"a: 1\n", "b: 2\n", "c: 3\n", "d: 4\n", "e: 5\n"}
	for _, tell := range []bool{true, false} {
		for _, pause := range []time.Duration{0, time.Millisecond, debounce / 3, debounce - time.Millisecond} {
			for begin := time.Duration(0); begin <= poll+debounce; begin += debounce / 4 {
				settle(t, func(s *settling) {
					s.after(begin)
					s.write(pause, tell, pieces...)
					written := time.Since(s.start)
					s.wants()
					s.after(poll + 2*debounce)
					s.wants("a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n")
					if tell && s.at[0]-written > debounce+2*soon {
						t.Errorf("noticed %s after it was written", s.at[0]-written)
					}
				})
			}
		}
	}
}

// TestARenameIsNoticedSoon, also while files beside it are written all the time.
func TestARenameIsNoticedSoon(t *testing.T) {
	for _, noise := range []time.Duration{time.Hour, time.Millisecond, debounce / 3} {
		settle(t, func(s *settling) {
			replace(t, s.path, "new")
			s.events <- fsnotify.Event{}
			for time.Since(s.start) < debounce+2*soon {
				s.after(min(noise, soon))
				if noise < time.Hour {
					s.events <- fsnotify.Event{}
				}
			}
			s.wants("new")
		})
	}
}

// TestAnEmptyFileMustSettleToo like any other content; a file that is gone is none.
func TestAnEmptyFileMustSettleToo(t *testing.T) {
	settle(t, func(s *settling) {
		s.write(0, true)
		s.after(debounce / 2)
		s.wants()
		s.after(debounce)
		s.wants("")
		must(t, os.Remove(s.path))
		s.events <- fsnotify.Event{}
		s.after(2 * poll)
		s.wants("")
	})
}

// TestContentThatComesAndGoesIsNoChange: back before it has settled.
func TestContentThatComesAndGoesIsNoChange(t *testing.T) {
	settle(t, func(s *settling) {
		for range 10 {
			for _, content := range []string{"new", "old"} {
				replace(t, s.path, content)
				s.events <- fsnotify.Event{}
				s.after(debounce * 2 / 3)
			}
		}
		s.after(poll)
		s.wants()
	})
}

// TestAskedLooksSettleToo: SIGHUP in the middle of a write.
func TestAskedLooksSettleToo(t *testing.T) {
	settle(t, func(s *settling) {
		write(t, s.path, "")
		s.w.Check()
		s.after(debounce / 2)
		write(t, s.path, "new")
		s.w.Check()
		s.after(debounce / 2)
		s.wants()
		s.after(debounce / 2)
		s.wants("new")
	})
}
