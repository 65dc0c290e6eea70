package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual, a page per command, into a folder",
		Args: exactArgs(1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			if err := doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: "Sluice", Manual: "Sluice"}, args[0]); err != nil {
				return err
			}
			return show(cmd, map[string]string{"folder": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "man %s\n", filepath.Join(args[0], cmd.Root().Name()+".1"))
			})
		},
	}
}
