package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TestKindsOfErrors: few words, whatever the text says, and how often an error is wrapped.
func TestKindsOfErrors(t *testing.T) {
	gone := NewError("client_gone", "client gone")
	for want, errs := range map[string][]error{
		"_OTHER":         {nil, errors.New("x"), fmt.Errorf("y: %w", errors.New("x")), errors.Join(errors.New("x"), fmt.Errorf("z"))},
		"client_gone":    {gone, fmt.Errorf("x: %w", gone), errors.Join(errors.New("x"), gone)},
		"INVALID_RECORD": {kerr.InvalidRecord, fmt.Errorf("x: %w", kerr.InvalidRecord)},
		"canceled":       {context.Canceled},
		"timeout":        {context.DeadlineExceeded, os.ErrDeadlineExceeded, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}},
		"*net.OpError":   {&net.OpError{Op: "dial", Err: errors.New("refused")}},
		"*fs.PathError":  {fmt.Errorf("x: %w", &fs.PathError{Err: errors.New("x")})},
	} {
		for _, err := range errs {
			if got := KindOf(err); got != want {
				t.Errorf("%v is %q, not %q", err, got, want)
			}
		}
	}
	if !errors.Is(fmt.Errorf("x: %w", gone), gone) || gone.Error() != "client gone" {
		t.Error("an error with a kind is no error like others")
	}
}
