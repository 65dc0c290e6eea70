//go:build unix

package server

import (
	"os"
	"testing"
)

// TestFilesInUseAreCounted: those that are opened count.
func TestFilesInUseAreCounted(t *testing.T) {
	before := FilesInUse()
	if before == 0 {
		t.Fatal("not known")
	}
	for range 20 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
	}
	if n := FilesInUse() - before; n < 10 { // others may have closed some meanwhile
		t.Errorf("%d more files for 20", n)
	}
}
