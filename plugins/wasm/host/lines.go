package host

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// perLine is what a line counts besides its bytes.
const perLine = 64

// lineWriter makes lines of the log of what a guest writes to its standard output or error. Longer
// ones are divided.
type lineWriter struct {
	*instance
	begun []byte // a line whose end is not written yet
	// last is the text of a panic, which has many lines and is one: what is written from its first
	// line until the call ends.
	last []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.charge(perLine) // also for a piece of nothing
	for rest := p; len(rest) > 0; {
		line, _, ended := bytes.Cut(rest[:min(len(rest), maxLine-len(w.begun))], []byte{'\n'})
		w.charge(len(line) + perLine)
		w.begun = append(w.begun, line...)
		if rest = rest[len(line):]; ended {
			rest = rest[1:]
		}
		if ended || len(w.begun) == maxLine {
			w.line()
		}
	}
	return len(p), nil
}

// line is told of a line that has ended.
func (w *lineWriter) line() {
	switch {
	case w.last != nil || panics(w.begun):
		w.last = append(w.last, w.begun[:min(len(w.begun), max(0, maxLine-len(w.last)))]...)
		w.last = append(w.last, '\n')[:min(len(w.last)+1, maxLine)]
	default:
		w.Log(abi.LogInfo, string(w.begun))
	}
	w.begun = w.begun[:0]
}

// panics reports the first line of what Go and Rust say when they panic.
func panics(line []byte) bool {
	return bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) || bytes.Contains(line, []byte("' panicked at "))
}

// take returns the text of a panic; "" if there is none.
func (w *lineWriter) take() string {
	text := strings.TrimSpace(string(w.last))
	w.last = nil
	return text
}

// end is the end of a call that has not failed.
func (i *instance) end() {
	if text := i.stderr.take(); text != "" {
		i.Log(abi.LogInfo, text)
	}
	i.call.end()
}

// why says of an error that ended a call what the guest said of it: the text of its panic, or the
// last error that it logged. All of it, stacks included, is in the log for who looks for more.
func (i *instance) why(err error) error {
	text := i.stderr.take()
	if i.guest.Log != nil {
		i.guest.Log.DebugContext(context.WithoutCancel(i.request), "the guest's last words", "text", text, "error", err)
	}
	if errors.Is(err, ErrDeadline) {
		return ErrDeadline
	}
	return newFailure(err, text, i.said)
}
