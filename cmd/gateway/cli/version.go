package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version that a build was given with -ldflags "-X ...cli.release=v1.2.3"; "" for one from a checkout.
var release string

// versionInfo says which build this is.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the checkout; with "+" if it was changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisVersion() versionInfo {
	v := versionInfo{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if v.Revision != "" {
		v.Revision += changed
	}
	if v.Version == "" {
		if v.Version = info.Main.Version; v.Version == "" {
			v.Version = "(devel)"
		}
	}
	return v
}

func (v versionInfo) String() string {
	revision := ""
	if v.Revision != "" {
		revision = ", revision " + v.Revision
	}
	return fmt.Sprintf("sluice %s%s, %s, %s", v.Version, revision, v.Go, v.Platform)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  exactArgs(0, "nothing"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := thisVersion()
			return show(cmd, v, func(w io.Writer) { fmt.Fprintln(w, v) })
		},
	}
}
