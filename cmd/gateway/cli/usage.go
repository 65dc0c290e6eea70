package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is a wrong command line that a command notices while it runs; what is noticed before
// is one anyway.
type usageError struct{ error }

func exactArgs(n int, want string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("want %s", want)
		}
		return nil
	}
}

// takesFile lets a command that has no other arguments take its file with -c or without.
func takesFile(cmd *cobra.Command, file *string, what string) {
	cmd.Flags().StringVarP(file, "config", "c", "sluice.yaml", what+"; -c may be left out")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1 || len(args) == 1 && cmd.Flags().Changed("config"):
			return errors.New("want one file")
		case len(args) == 1:
			*file = args[0]
		}
		return nil
	}
}

// group is for commands that only have others below them: one that is not there is an error.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}
