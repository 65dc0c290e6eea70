package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
)

func pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plugin", Short: "Make, build, test and measure plugins",
		Long: `Tools for authors of plugins. Without a file, build, test and bench work on the project in the current folder.
Guests run as they do in a gateway: metered, limited, with the same rules of Kafka.`,
	}
	group(cmd)
	cmd.AddCommand(pluginNew(), pluginUpgrade(), pluginBuild(), pluginTest(), pluginInspect(), pluginBench(), pluginReplay())
	return cmd
}

func pluginNew() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write a project into the folder NAME: code, cases, configuration, and the SDK",
		Args: exactArgs(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := workbench.New(args[0], language, filepath.Base(args[0])); err != nil {
				return err
			}
			return show(cmd, map[string]string{"folder": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is there. Next:\n  cd %s\n  gateway plugin build\n  gateway plugin test\n", args[0], args[0])
			})
		},
	}
	cmd.Flags().StringVar(&language, "lang", "go", "the language: "+strings.Join(workbench.Languages, ", "))
	return cmd
}

func pluginUpgrade() *cobra.Command {
	return &cobra.Command{
		Use: "upgrade [FOLDER]", Short: "Replace the SDK of a project, its folder sluice, by that of this gateway",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sdk := filepath.Join(folder(args), "sluice")
			if err := workbench.Upgrade(folder(args)); err != nil {
				return err
			}
			return show(cmd, map[string]string{"folder": sdk}, func(w io.Writer) { fmt.Fprintf(w, "%s is that of this gateway. Next: gateway plugin build\n", sdk) })
		},
	}
}

func pluginBuild() *cobra.Command {
	return &cobra.Command{
		Use: "build [FOLDER]", Short: "Build the project in a folder",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := workbench.Build(cmd.Context(), folder(args))
			if err != nil {
				return err
			}
			return show(cmd, map[string]string{"file": file}, func(w io.Writer) { fmt.Fprintln(w, file) })
		},
	}
}

func folder(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}

// module is the file that was named, or that of the project here, built.
func module(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return workbench.Build(cmd.Context(), ".")
}

func pluginTest() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use: "test [FILE CASES.yaml]", Short: "Run cases against a module: records in, what becomes of them out",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) > 2 {
				return &usageError{errors.New("name a module and its cases, or neither for the project in this folder")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := casesFile
			if len(args) > 1 {
				path = args[1]
			}
			cases, err := workbench.LoadCases(path)
			if err != nil {
				return err
			}
			file, err := module(cmd, args)
			if err != nil {
				return err
			}
			outcomes, err := workbench.Test(cmd.Context(), file, cases, update, guestLog(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			type result struct {
				Name string `json:"name"`
				Diff string `json:"diff"` // "" is passed
			}
			results, failed := []result{}, 0
			for _, o := range outcomes {
				if results = append(results, result{o.Case.Name, o.Diff}); o.Diff != "" {
					failed++
				}
			}
			err = show(cmd, results, func(w io.Writer) {
				for _, r := range results {
					if r.Diff == "" {
						fmt.Fprintf(w, "ok    %s\n", r.Name)
					} else {
						fmt.Fprintf(w, "FAIL  %s: %s\n", r.Name, r.Diff)
					}
				}
				fmt.Fprintf(w, "%d passed, %d failed\n", len(results)-failed, failed)
			})
			if err != nil {
				return err
			}
			if failed > 0 {
				return errFailed
			}
			if update {
				return cases.Update(path)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "write what becomes of the records into the cases, as expected")
	return cmd
}

// guestLog shows what a guest logs.
func guestLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func pluginInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Show a module: manifest, imports, size, time to compile, memory",
		Args: exactArgs(1, "one module"),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := workbench.Inspect(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			manifest, err := json.Marshal(i.Manifest)
			if err != nil {
				return err
			}
			return show(cmd, i, func(w io.Writer) {
				fmt.Fprintf(w, "manifest\t%s\nsha256\t%s\nsize\t%d bytes\n", manifest, i.Digest, i.Bytes)
				fmt.Fprintf(w, "imports\t%s\nexports\t%s\n", strings.Join(i.Imports, ", "), strings.Join(i.Exports, ", "))
				fmt.Fprintf(w, "compiled in\t%d ms\ninstance started in\t%d µs\nmemory of an instance\t%d bytes\n", i.CompileMS, i.StartUS, i.Instance)
			})
		},
	}
}

// settingsOf is the configuration that was given or, of a project, that of its cases.
func settingsOf(config string, args []string) (settings any, err error) {
	if config != "" {
		if err := json.Unmarshal([]byte(config), &settings); err != nil {
			return nil, &usageError{fmt.Errorf("--config: %w", err)}
		}
		return settings, nil
	}
	if len(args) > 0 {
		return nil, nil
	}
	cases, err := workbench.LoadCases(casesFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return cases.Config, nil
}

// casesFile has the cases of a project.
const casesFile = "cases.yaml"

func pluginBench() *cobra.Command {
	l := workbench.Load{}
	var config string
	var budget time.Duration
	var memory int64
	cmd := &cobra.Command{
		Use: "bench [FILE]", Short: "Measure a module: time per record, slow calls, memory",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := module(cmd, args)
			if err != nil {
				return err
			}
			settings, err := settingsOf(config, args)
			if err != nil {
				return err
			}
			b, err := workbench.Open(cmd.Context(), file, settings, nil)
			if err != nil {
				return err
			}
			var end func()
			l.Progress, end = progress(cmd, "records", l.Total)
			m, err := b.Measure(cmd.Context(), l)
			end()
			if err = errors.Join(err, b.Close()); err != nil {
				return err
			}
			err = show(cmd, m, func(w io.Writer) {
				fmt.Fprintf(w, "records\t%d\nper record\t%s\nof that in the guest\t%s\n", m.Records, m.PerRecord, m.Guest)
				fmt.Fprintf(w, "half of the calls within\t%s\n99 %% of the calls within\t%s\n", m.P50, m.P99)
				fmt.Fprintf(w, "memory of an instance\t%.1f MiB\nfailures\t%d\n", float64(m.Memory)/(1<<20), m.Failures)
			})
			if err != nil {
				return err
			}
			switch {
			case budget > 0 && m.PerRecord > budget:
				return fmt.Errorf("%s per record is over the budget of %s", m.PerRecord, budget)
			case memory > 0 && int64(m.Memory) > memory<<20:
				return fmt.Errorf("an instance had %d MiB, the budget is %d", m.Memory>>20, memory)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&l.Records, "records", 500, "records in a call")
	f.IntVar(&l.Size, "size", 200, "bytes of a value")
	f.IntVar(&l.Total, "total", 1_000_000, "records in all")
	f.StringVar(&l.Topic, "topic", "bench", "the topic")
	f.BoolVar(&l.Fetch, "fetch", false, "show records as a consumer gets them, not as a producer sends them")
	f.StringVar(&config, "config", "", "the guest's configuration, JSON; default: that of cases.yaml, for the project in this folder")
	f.DurationVar(&budget, "budget", 0, "the most that a record may take; more is a failure")
	f.Int64Var(&memory, "memory-budget", 0, "the most MiB that an instance may have; more is a failure")
	return cmd
}
