// Package cli is the command line of a gateway: one file per command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Exit codes: 0 done, 1 it failed, 2 the command line is wrong; of `failover run`: 3 moves still
// wait, 4 moves were given up.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitWaits   = 3
	exitGivenUp = 4
)

var errFailed = errors.New("failed")

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

// Main runs the command that the process was called with. specs are the types of interceptors that
// chains may name: those of plugins.Builtin, and what is compiled in besides.
func Main(specs ...plugin.Spec) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Sluice, a Kafka gateway",
		Long: `Sluice stands between Kafka clients and one or more clusters, and moves topics from one cluster
to another while clients stay connected.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong command line. failover run has more.`,
		SilenceUsage: true, SilenceErrors: true, Version: telemetry.ThisBuild(release).String(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(runCommand(specs), validateCommand(specs), chainCommand(specs), failoverCommand(), pluginCommand(), devCommand(specs), captureCommand(),
		topCommand(), routesCommand(), logCommand(), doctorCommand(specs), schemaCommand(specs), manCommand(), versionCommand())
	outputFlag(root)
	ran := false
	note(root, &ran)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return
	case errors.Is(err, errFailed):
		os.Exit(exitFailed)
	}
	fmt.Fprintln(os.Stderr, "gateway:", err)
	var usage *usageError
	var exit *exitError
	if errors.As(err, &exit) {
		os.Exit(exit.code)
	}
	if errors.As(err, &usage) || !ran {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

// note has every command tell that it has begun: what fails before is the command line.
func note(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		note(c, ran)
	}
}
