package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/eventually"
)

// watched is a file that a watcher looks at.
type watched struct {
	t    *testing.T
	path string
	w    *Watcher
	seen chan string
	stop func() // ends the watcher and waits
}

// watch starts a watcher of path, and returns when it watches.
func watch(t *testing.T, path string) *watched {
	t.Helper()
	return watchEvery(t, path, poll)
}

// watchTold is watch with a watcher that never looks by itself: it must be told.
func watchTold(t *testing.T, path string) *watched {
	t.Helper()
	return watchEvery(t, path, time.Hour)
}

func watchEvery(t *testing.T, path string, poll time.Duration) *watched {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	w := watchFrom(t, path, "something else", poll)
	w.wants(string(content))
	return w
}

// watchFrom starts a watcher of path, whose content is known to be known.
func watchFrom(t *testing.T, path, known string, poll time.Duration) *watched {
	t.Helper()
	w := &watched{t: t, path: path, w: NewWatcher(path), seen: make(chan string, 100)}
	w.w.poll = poll
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.w.Run(ctx, []byte(known), func(source []byte) { w.seen <- string(source) }) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the watcher ended with %v", err)
		}
		done <- nil
	}
	t.Cleanup(w.stop)
	return w
}

// wants waits for the next content.
func (w *watched) wants(content string) {
	w.t.Helper()
	select {
	case got := <-w.seen:
		if got != content {
			w.t.Fatalf("noticed %q, want %q", got, content)
		}
	case <-time.After(eventually.Limit):
		w.t.Fatalf("%q is not noticed", content)
	}
}

// nothing checks that nothing more is noticed than one last change, which comes behind whatever the
// watcher would still notice.
func (w *watched) nothing() {
	w.t.Helper()
	replace(w.t, w.path, "the end")
	for {
		select {
		case got := <-w.seen:
			if got == "the end" {
				return
			}
			w.t.Errorf("noticed %q", got)
		case <-time.After(eventually.Limit):
			w.t.Fatal("the end is not noticed")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

// replace renames new content over a file, which is never seen half written.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".swp", content)
	must(t, os.Rename(path+".swp", path))
}

// mount makes dir look like a mounted ConfigMap: sluice.yaml -> ..data/sluice.yaml, ..data -> a
// folder of its own for each content.
func mount(t *testing.T, dir, version, content string) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(dir, version), 0o755))
	write(t, filepath.Join(dir, version, "sluice.yaml"), content)
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if old == "" {
		must(t, os.Symlink("..data/sluice.yaml", filepath.Join(dir, "sluice.yaml")))
		return
	}
	must(t, os.RemoveAll(filepath.Join(dir, old)))
}

// TestTheWatcherNotices every way in which files are replaced, again and again. It must be told of
// them: looking every two seconds is only for file systems that don't tell.
func TestTheWatcherNotices(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path, content string){
		"a write in place": write,
		"a write without truncation": func(t *testing.T, path, content string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt([]byte(content), 0)
			must(t, err)
			must(t, f.Close())
		},
		"a rename over it": replace,
		"an editor's backup": func(t *testing.T, path, content string) {
			must(t, os.Rename(path, path+"~"))
			write(t, path, content)
		},
		"remove and create": func(t *testing.T, path, content string) {
			must(t, os.Remove(path))
			write(t, path, content)
		},
		"a ConfigMap": func(t *testing.T, path, content string) {
			mount(t, filepath.Dir(path), ".."+content, content)
		},
		"a link to another file": func(t *testing.T, path, content string) {
			other := filepath.Join(t.TempDir(), "other.yaml")
			write(t, other, content)
			must(t, os.Remove(path))
			must(t, os.Symlink(other, path))
		},
		"a link on the way": func(t *testing.T, path, content string) {
			way := filepath.Join(filepath.Dir(path), "way")
			other := filepath.Join(t.TempDir(), "other.yaml")
			write(t, other, content)
			if _, err := os.Lstat(way); err != nil {
				must(t, os.Mkdir(way, 0o755))
				must(t, os.Remove(path))
				must(t, os.Symlink("way/link.yaml", path))
			}
			must(t, os.Symlink(other, filepath.Join(way, "next")))
			must(t, os.Rename(filepath.Join(way, "next"), filepath.Join(way, "link.yaml")))
		},
		"a write behind a link": func(t *testing.T, path, content string) {
			other := filepath.Join(filepath.Dir(path), "elsewhere", "other.yaml")
			if _, err := os.Lstat(other); err != nil {
				must(t, os.Mkdir(filepath.Dir(other), 0o755))
				must(t, os.Remove(path))
				must(t, os.Symlink("elsewhere/other.yaml", path))
			}
			write(t, other, content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sluice.yaml")
			if name == "a ConfigMap" {
				mount(t, filepath.Dir(path), "..first", "content 0")
			} else {
				write(t, path, "content 0")
			}
			w := watchTold(t, path)
			for i := range 4 {
				content := fmt.Sprintf("content %d", i+1)
				change(t, path, content)
				w.wants(content)
			}
		})
	}
}

// TestTheWatcherLooksWhenAsked, as on SIGHUP: here a folder on the way is replaced, of which nobody
// tells.
func TestTheWatcherLooksWhenAsked(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		must(t, os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o755))
		write(t, filepath.Join(dir, fmt.Sprint(i), "sluice.yaml"), fmt.Sprint("content ", i))
	}
	must(t, os.Symlink("0", filepath.Join(dir, "current")))
	w := watchTold(t, filepath.Join(dir, "current", "sluice.yaml"))
	for i := 1; i < 5; i++ {
		must(t, os.Symlink(fmt.Sprint(i), filepath.Join(dir, "next")))
		must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")))
		w.w.Check()
		w.w.Check() // never blocks
		w.wants(fmt.Sprint("content ", i))
	}
}

// TestTheWatcherLooksByItself where nobody tells it.
func TestTheWatcherLooksByItself(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a", "b"} {
		must(t, os.Mkdir(filepath.Join(dir, n), 0o755))
		write(t, filepath.Join(dir, n, "sluice.yaml"), n)
	}
	must(t, os.Symlink("a", filepath.Join(dir, "current")))
	w := watch(t, filepath.Join(dir, "current", "sluice.yaml"))
	must(t, os.Symlink("b", filepath.Join(dir, "next")))
	must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")))
	w.wants("b")
}

// TestTheWatcherKnowsWhatIsKnown: a change between loading and watching is noticed, none is not.
func TestTheWatcherKnowsWhatIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, "newer")
	w := watchFrom(t, path, "loaded", poll)
	w.wants("newer")
	w.stop()
	watchFrom(t, path, "newer", poll).nothing()
}

// TestTheSameContentIsNoChange: touching the file, rewriting it, replacing it by a copy.
func TestTheSameContentIsNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, "same")
	w := watch(t, path)
	write(t, path, "same")
	must(t, os.Chtimes(path, time.Now(), time.Now()))
	replace(t, path, "same")
	must(t, os.Remove(path))
	write(t, path, "same")
	w.nothing()
}

// TestTheWatcherOutlivesItsFolder: the folder is removed with all in it and made again.
func TestTheWatcherOutlivesItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	must(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "sluice.yaml")
	write(t, path, "content 0")
	w := watchTold(t, path)
	for i := range 3 {
		must(t, os.RemoveAll(dir))
		w.w.Check() // nothing to read is nothing new
		must(t, os.Mkdir(dir, 0o755))
		content := fmt.Sprintf("content %d", i+1)
		replace(t, path, content)
		w.w.Check() // nobody tells of a folder that is made anew
		w.wants(content)
	}
	for i := range 4 { // it is watched again
		content := fmt.Sprintf("and on %d", i)
		replace(t, path, content)
		w.wants(content)
	}
}

// TestTheWatcherEnds with its context, and notices nothing afterwards.
func TestTheWatcherEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, "old")
	w := watch(t, path)
	w.stop()
	write(t, path, "new")
	w.w.Check()
	select {
	case got := <-w.seen:
		t.Errorf("noticed %q", got)
	default:
	}
}
