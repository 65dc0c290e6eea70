package share

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain gives the tests a folder of their own for what is compiled.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "compiled")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_CACHE_HOME", folder)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}
