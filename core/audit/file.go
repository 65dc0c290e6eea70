package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// File is a file of JSON lines that only its owner may read. Each write is on the disk when it
// returns. One that was renamed or removed meanwhile, by who rotates logs, is begun anew.
type File struct {
	path string
	file *os.File
}

// OpenFile opens a file, or makes it.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	return f, f.open()
}

func (f *File) open() (err error) {
	if f.file, err = os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	last := make([]byte, 1)
	if _, err := f.file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' { // a write was cut off when the power went
		_, err = f.file.Write([]byte{'\n'})
		return err
	}
	return nil
}

// Write is for Sink.
func (f *File) Write(_ context.Context, lines [][]byte) error {
	if f.file != nil {
		here, err := f.file.Stat()
		there, terr := os.Stat(f.path)
		if err != nil || terr != nil || !os.SameFile(here, there) {
			_ = f.Close()
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err = f.file.Write(bytes.Join(lines, nil)); err != nil { // a full disk leaves no half line
		return errors.Join(err, f.file.Truncate(end))
	}
	return f.file.Sync()
}

// Close is for Sink.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
