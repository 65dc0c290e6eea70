package host

import (
	"errors"
	"strings"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
)

// FailureError is a failure of a guest's own making, and not for want of time: a trap, an exit, a
// result that is none.
type FailureError struct {
	Reason string // one line, in the guest's words where it had any
	Err    error
}

func (e *FailureError) Error() string { return e.Reason }

// Unwrap returns what the engine says.
func (e *FailureError) Unwrap() error { return e.Err }

// mostReason bounds what clients are told of a failure.
const mostReason = 500

// newFailure takes the first text that says anything, up to an empty line: stacks follow. Without
// one it is the first line of the error.
func newFailure(err error, texts ...string) error {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	for _, text := range texts {
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n\n")
		if said := strings.Join(strings.Fields(text), " "); said != "" {
			reason = said
			break
		}
	}
	return &FailureError{Reason: strings.ToValidUTF8(reason[:min(len(reason), mostReason)], "\uFFFD"), Err: err}
}

// failure reports an error that is the guest's fault: it failed in its own code, or was too slow.
func failure(err error) bool { return err != nil && (errors.Is(err, ErrDeadline) || Lasting(err)) }

// Lasting reports a failure that will come again if the same is tried again.
func Lasting(err error) bool {
	if err == nil {
		return false // and nothing is allocated
	}
	var own *FailureError
	return errors.As(err, &own)
}

func isRefusal(err error) bool {
	var refusal *blocks.RefusalError
	return errors.As(err, &refusal)
}
