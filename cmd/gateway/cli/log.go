package cli

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
)

func logCommand() *cobra.Command {
	var file, level string
	var reset bool
	cmd := &cobra.Command{
		Use: "log -c FILE [COMPONENT=LEVEL...]", Short: "Show from which level on each component writes to the log, or change it",
		Example: `  gateway log -c sluice.yaml upstream=debug routing=debug
  gateway log -c sluice.yaml --reset

Levels are debug, info, warn, error. They stay until the gateway ends or the levels of the file are changed.`,
		Args: func(_ *cobra.Command, args []string) error {
			for _, a := range args {
				if component, l, ok := strings.Cut(a, "="); !ok || component == "" || l == "" {
					return fmt.Errorf("%q is not like upstream=debug", a)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(file)
			if err != nil {
				return err
			}
			const path = admin.Prefix + "log/levels"
			var s admin.LogState
			if reset {
				err = c.call(cmd.Context(), http.MethodDelete, path, nil, &s)
			} else {
				err = c.get(cmd.Context(), "log/levels", &s)
			}
			if err != nil {
				return err
			}
			for _, a := range args {
				component, l, _ := strings.Cut(a, "=")
				s.Levels[component] = l
			}
			if level != "" {
				s.Level = level
			}
			if len(args) > 0 || level != "" {
				if err := c.call(cmd.Context(), http.MethodPut, path, s.LogLevels, &s); err != nil {
					return err
				}
			}
			return show(cmd, s, func(w io.Writer) {
				all := maps.Clone(s.Components)
				maps.Copy(all, s.Levels) // guests, too
				fmt.Fprintln(w, "COMPONENT\tLEVEL")
				for _, name := range slices.Sorted(maps.Keys(all)) {
					fmt.Fprintf(w, "%s\t%s\n", name, all[name])
				}
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", "", "the level of components without one of their own")
	cmd.Flags().BoolVar(&reset, "reset", false, "go back to the levels of the file first")
	fileFlag(cmd, &file)
	return cmd
}
