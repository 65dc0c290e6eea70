package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/telemetry"
)

// release is the version that a build was given with -ldflags "-X ...cli.release=v1.2.3"; "" for
// one from a checkout.
var release string

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  exactArgs(0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := telemetry.ThisBuild(release)
			return show(cmd, v, func(w io.Writer) { fmt.Fprintln(w, v) })
		},
	}
}
