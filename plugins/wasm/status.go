package wasm

import (
	"slices"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/kept"
)

// Status is what operators see of a guest.
type Status struct {
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	Digest    string `json:"sha256,omitempty"`
	Called    int64  `json:"calls"`
	Failed    int64  `json:"failures"`
	Replaced  int64  `json:"replaced_instances"`
	BusyUS    int64  `json:"busy_us"` // in calls, microseconds
	Instances int    `json:"instances"`
	Memory    uint32 `json:"instance_bytes"`
	Stored    int64  `json:"stored_bytes"`
	Open      bool   `json:"left_alone"` // it failed too often
	Lost      int    `json:"dropped_log_lines"`
	// SwapError is why the last version or settings that were to take its place could not; "" if
	// they did.
	SwapError string        `json:"last_swap_error,omitempty"`
	Metrics   []kept.Series `json:"metrics,omitempty"`
}

// Report is a Status.
func (w *Wasm) Report() any {
	g := w.Guest()
	c := g.Costs()
	n, memory := g.Instances()
	return Status{
		Name: g.Name, Version: g.Manifest.Version, Digest: g.Digest, Called: c.Calls, Failed: c.Failures, Replaced: c.Replaced, BusyUS: c.Busy.Microseconds(),
		Instances: n, Memory: memory, Stored: g.Store.Used(), Open: g.LeftAlone() > 0, Lost: c.DroppedLines, SwapError: w.SwapError(), Metrics: slices.Clip(g.Metrics.All()),
	}
}

// Code is for plugin.Coded.
func (w *Wasm) Code() plugin.Code {
	g := w.Guest()
	return plugin.Code{Section: w.Identity(), Name: g.Name, Version: g.Manifest.Version, Digest: g.Digest}
}
