package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
)

// TestFilesAreReadWithinBounds: of one that is too large so much that it is refused, and of what is
// no file nothing.
func TestFilesAreReadWithinBounds(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.wasm")
	if err := os.WriteFile(large, []byte("module"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := File(large); err != nil || string(got) != "module" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Truncate(large, meter.MaxBytes+1000); err != nil {
		t.Fatal(err)
	}
	if got, err := File(large); err != nil || len(got) != meter.MaxBytes+1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := File(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
}
