package plugin

import (
	"os"
	"time"
)

// Stamp tells whether a file is the one that was read. It follows links, as mounted secrets and
// ConfigMaps are.
type Stamp struct {
	Changed time.Time
	Size    int64
}

// StampOf is a file's stamp now. Take it before the file is read.
func StampOf(path string) (Stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}, err
	}
	return Stamp{info.ModTime(), info.Size()}, nil
}
