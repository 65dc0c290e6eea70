package telemetry

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Build says which build of the gateway this is.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the checkout; with "+" if it was changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ThisBuild reads what Go has noted of this program. release is the version that the build was
// given; "" for one from a checkout.
func ThisBuild(release string) Build {
	v := Build{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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

func (v Build) String() string {
	revision := ""
	if v.Revision != "" {
		revision = ", revision " + v.Revision
	}
	return fmt.Sprintf("sluice %s%s, %s, %s", v.Version, revision, v.Go, v.Platform)
}
