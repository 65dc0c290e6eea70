package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCachesHaveASize: what was made longest ago goes first, and what is elsewhere stays.
func TestCachesHaveASize(t *testing.T) {
	dir := t.TempDir()
	images := filepath.Join(dir, imagesFolder)
	for i, name := range []string{"new/d", "old/a", "old/b", "new/c", imagesFolder + "/x"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		age := time.Duration(name[len(name)-1]) * time.Hour
		if err := os.Chtimes(path, time.Time{}, time.Unix(0, 0).Add(age)); err != nil {
			t.Fatal(err, i)
		}
	}
	left := func() string {
		files, size := cachedFiles(dir)
		var names []string
		for _, f := range files {
			names = append(names, filepath.Base(f.path))
		}
		return fmt.Sprint(strings.Join(names, ""), size)
	}
	trimTo(dir, 400, images)
	if got := left(); got != "xcdab500" {
		t.Errorf("within the limit: %s", got)
	}
	trimTo(dir, 250, images)
	if got := left(); got != "xcd300" {
		t.Errorf("above it: %s", got)
	}
	clearAbove(images, 100)
	if got := left(); got != "xcd300" {
		t.Errorf("images within the limit: %s", got)
	}
	clearAbove(images, 99)
	if got := left(); got != "cd200" {
		t.Errorf("images above it: %s", got)
	}
}
