package wasm

import (
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
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
	SwapError string   `json:"last_swap_error,omitempty"`
	Metrics   []Series `json:"metrics,omitempty"`
}

// Report is a Status.
func (w *Wasm) Report() any {
	g := w.guest()
	n, memory := g.Instances()
	return Status{
		Name: g.Name, Version: g.Manifest.Version, Digest: g.Digest, Called: g.Called.Load(), Failed: g.Failed.Load(), Replaced: g.Replaced.Load(),
		BusyUS: g.Busy.Load() / 1e3, Instances: n, Memory: memory, Stored: g.store.Used(), Open: g.breakers.left(time.Now()) > 0, Lost: g.lines.lost(), SwapError: w.use.tally.swapError(), Metrics: slices.Clip(g.metrics.All()),
	}
}

// Code is for plugin.Coded.
func (w *Wasm) Code() plugin.Code {
	g := w.guest()
	return plugin.Code{Section: w.use.identity, Name: g.Name, Version: g.Manifest.Version, Digest: g.Digest}
}
