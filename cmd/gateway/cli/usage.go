package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is a wrong command line.
type usageError struct{ error }

func exactArgs(n int, want string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return &usageError{fmt.Errorf("want %s", want)}
		}
		return nil
	}
}
