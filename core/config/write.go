package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrReadOnly says that the file may not be written.
var ErrReadOnly = errors.New("the configuration file is read-only")

// ErrChanged says that the file has another content than the one that was edited.
var ErrChanged = errors.New("the configuration file has changed and is not in force yet: see GET /config, then try again")

// WriteFile replaces the content of a file, which must still be before: symlinks are resolved, the
// new content is written beside it and renamed, or written in place where that is impossible: a
// bind-mounted file, a folder that may not be written, an owner that the new file could not have.
func WriteFile(path string, before, content []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o222 == 0 {
		return fmt.Errorf("%w: %s", ErrReadOnly, real)
	}
	now, err := readFile(real)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return ErrChanged
	}
	err = writeBeside(real, content, info)
	if onlyInPlace(err) {
		err = os.WriteFile(real, content, info.Mode().Perm())
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %s", ErrReadOnly, real)
	}
	return err
}

// onlyInPlace reports that a file can't be replaced, but perhaps written.
func onlyInPlace(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

func writeBeside(path string, content []byte, info fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = sameOwner(f, info)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
