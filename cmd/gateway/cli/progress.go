package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	progressWidth = 30 // of a full bar
	redrawn       = 100 * time.Millisecond
)

// progress shows how much of a long piece of work is done, on standard error if that is a terminal.
// done gets the total so far.
func progress(cmd *cobra.Command, what string, total int) (done func(int), end func()) {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || !isTerminal(f) {
		return func(int) {}, func() {}
	}
	var drawn time.Time
	line := ""
	draw := func(next string) {
		_, _ = fmt.Fprint(f, "\r"+next+strings.Repeat(" ", max(len(line)-len(next), 0))) // over what was there
		line = next
	}
	done = func(n int) {
		if time.Since(drawn) < redrawn {
			return
		}
		drawn = time.Now()
		full := progressWidth * min(max(n, 0), total) / max(total, 1)
		draw(fmt.Sprintf("%s [%-*s] %d/%d", what, progressWidth, strings.Repeat("#", full), n, total))
	}
	end = func() {
		if line != "" {
			draw("")
			_, _ = fmt.Fprint(f, "\r")
		}
	}
	return done, end
}

// isTerminal takes a device without blocks for a terminal: what is drawn on another one, as
// /dev/null, disturbs nobody.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
