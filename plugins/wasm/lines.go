package wasm

import (
	"bytes"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// perLine is what a line counts besides its bytes.
const perLine = 64

// lineWriter makes lines of the log of what a guest writes to its standard output and error. Longer ones are divided.
type lineWriter struct {
	*instance
	begun []byte // a line whose end is not written yet
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
			w.Log(abi.LogInfo, string(w.begun))
			w.begun = w.begun[:0]
		}
	}
	return len(p), nil
}
