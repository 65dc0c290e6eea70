// Command gateway is Sluice: a Kafka gateway that moves topics between clusters while clients stay
// connected.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes: 0 done, 1 it failed, 2 the command line is wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

var errFailed = errors.New("failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Sluice, a Kafka gateway",
		Long: `Sluice stands between Kafka clients and one or more clusters, and moves topics from one cluster
to another while clients stay connected.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong command line.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(runCommand(), validateCommand(), chainCommand(), failoverCommand(), pluginCommand(), devCommand(), captureCommand(),
		topCommand(), routesCommand(), logCommand(), doctorCommand(), manCommand())
	outputFlag(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return
	case errors.Is(err, errFailed):
		os.Exit(exitFailed)
	}
	fmt.Fprintln(os.Stderr, "gateway:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}
