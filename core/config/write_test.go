package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTheOwnerStays: a file of somebody else is written in place, or that one could not edit it any
// more.
func TestTheOwnerStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sluice.yaml")
	must(t, os.WriteFile(path, []byte("old, and longer"), 0o600))
	must(t, os.Chmod(path, 0o666))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o777))
	before, err := os.Stat(path)
	must(t, err)
	nobody(t)
	must(t, WriteFile(path, []byte("old, and longer"), []byte("new")))
	after, err := os.Stat(path)
	must(t, err)
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if was.Uid != is.Uid || was.Gid != is.Gid {
		t.Errorf("of %d:%d, was of %d:%d", is.Uid, is.Gid, was.Uid, was.Gid)
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if list, _ := os.ReadDir(dir); string(got) != "new" || len(list) != 1 {
		t.Errorf("%q, %v", got, list)
	}
}

// TestWhatIsWrittenInPlace: also a writable file mounted into a file system that is read-only.
func TestWhatIsWrittenInPlace(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, syscall.EBUSY: true, syscall.EXDEV: true, syscall.EROFS: true, syscall.EACCES: true, syscall.EPERM: true, syscall.ENOSPC: false, syscall.EIO: false,
	} {
		if err != nil {
			err = &fs.PathError{Op: "open", Path: "x", Err: err}
		}
		if onlyInPlace(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
}

// TestWhatHasChangedIsNotWrittenOver: an edit is of what was read, not of what somebody has saved
// since.
func TestWhatHasChangedIsNotWrittenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, path, "theirs")
	if err := WriteFile(path, []byte("old"), []byte("ours")); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "theirs" {
		t.Errorf("%q, %v", got, err)
	}
}
