package cli

import (
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// progress shows how much of a long piece of work is done, on standard error if that is a terminal. done gets the
// total so far.
func progress(cmd *cobra.Command, what string, total int) (done func(int), end func()) {
	f, ok := cmd.ErrOrStderr().(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int) {}, func() {}
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	return func(n int) { _ = bar.Set(n) }, func() { _ = bar.Finish() }
}
