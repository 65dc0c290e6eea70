package gateway

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/fence"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/trust"
)

// sourceOf is the gateway as where telemetry comes from. No other one has its state, and it has it
// again after a restart.
func sourceOf(b telemetry.Build, state string) telemetry.Source {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if abs, err := filepath.Abs(state); err == nil {
		state = abs
	}
	return telemetry.Source{Version: b.Version, Instance: host + ":" + state}
}

// tracesTo is where a configuration sends traces, and which.
func tracesTo(s *config.Snapshot) telemetry.Config {
	t := s.Telemetry.Traces
	return telemetry.Config{
		Receiver:    withTLS(s, telemetry.Receiver{Endpoint: t.Endpoint, Protocol: t.Protocol, Insecure: t.Insecure, Headers: t.Headers}, t.TLS),
		SampleRatio: t.SampleRatio, ParentBased: t.ParentBased, Errors: t.Errors, Slower: t.Slower,
	}
}

// exportOf is where a configuration sends metrics.
func exportOf(s *config.Snapshot) telemetry.Export {
	m := s.Telemetry.Metrics
	return telemetry.Export{
		Receiver: withTLS(s, telemetry.Receiver{Endpoint: m.Endpoint, Protocol: m.Protocol, Insecure: m.Insecure, Headers: m.Headers}, m.TLS),
		Interval: m.Interval,
	}
}

func withTLS(s *config.Snapshot, r telemetry.Receiver, t *config.ClientTLS) telemetry.Receiver {
	if t == nil {
		return r
	}
	r.CA, r.Cert, r.Key = beside(s.Path, t.CA), beside(s.Path, t.Cert), beside(s.Path, t.Key)
	return r
}

// beside is the path of a file that a configuration file names.
func beside(path, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}

// spansOf says which interceptors have spans.
func spansOf(l *live) telemetry.Spans {
	if l.tracer == nil {
		return ""
	}
	return cmp.Or(telemetry.Spans(l.snap.Telemetry.Traces.Spans), telemetry.SlowSpans)
}

func (g *Gateway) openTraces(ctx context.Context, l, old *live) error {
	to := tracesTo(l.snap)
	to.Source = g.source
	if old.tracer != nil && reflect.DeepEqual(tracesTo(old.snap), tracesTo(l.snap)) {
		l.tracer = old.tracer.share()
		return nil
	}
	tracer, err := telemetry.Open(ctx, to, g.opts.Exporters, g.log)
	if tracer != nil {
		l.tracer = newPart(tracer, func(t *telemetry.Tracer) { g.beside("the last traces were not sent", tracesWait, t.Close) })
	}
	return g.receiverError(l, old, "traces", err)
}

func (g *Gateway) openExport(ctx context.Context, l, old *live) error {
	to := exportOf(l.snap)
	to.Source = g.source
	if old.exporter != nil && reflect.DeepEqual(exportOf(old.snap), exportOf(l.snap)) {
		l.exporter = old.exporter.share()
		return nil
	}
	e, err := telemetry.OpenExport(ctx, to, g.opts.Exporters, g.started, g.collect, g.log)
	if e != nil {
		l.exporter = newPart(e, func(e *telemetry.Exporter) { g.beside("the last metrics were not sent", tracesWait, e.Close) })
	}
	return g.receiverError(l, old, "metrics", err)
}

// openFence makes what asks the fence hook. With a file that can't be used the gateway starts all
// the same, and moves that need the hook wait for the next edit.
func (g *Gateway) openFence(_ context.Context, l, old *live) error {
	f := l.snap.Failover.Fence
	if f.URL == "" {
		return nil
	}
	if old.fence != nil && reflect.DeepEqual(old.snap.Failover.Fence, f) {
		l.fence = old.fence.share()
		return nil
	}
	tls, err := fenceTLS(l.snap).TLS()
	hook := fence.New(f.URL, f.Headers, tls, f.Timeout)
	var file *trust.FileError
	if errors.As(err, &file) {
		err = l.snap.Errorf(settingOf(fenceSection, file), "%v", file.Err)
	}
	if err != nil {
		if old.snap != nil {
			return err
		}
		g.log.Error("moves wait for the next edit: the fence hook can't be asked", "error", err)
		hook = fence.Broken(err)
	}
	l.fence = newPart(hook, (*fence.Hook).Close)
	return nil
}

// fenceTLS are the files by which the fence hook and the gateway know each other.
func fenceTLS(s *config.Snapshot) telemetry.Receiver {
	return withTLS(s, telemetry.Receiver{}, s.Failover.Fence.TLS)
}

// fencer is who keeps writers away by what is in force, or nil.
func (l *live) fencer() failover.Fencer {
	if l.fence == nil {
		return nil
	}
	return l.fence.value
}

// receiverError is where in the file stands what keeps a signal from being sent. A file that can't
// be used keeps no gateway from starting: the signal is not sent until the next edit.
func (g *Gateway) receiverError(l, old *live, signal string, err error) error {
	if errors.Is(err, telemetry.ErrNoExporters) {
		return l.snap.Errorf([]string{"telemetry", signal, "endpoint"}, "%v", telemetry.ErrNoExporters)
	}
	var file *trust.FileError
	if !errors.As(err, &file) {
		return err
	}
	err = l.snap.Errorf(settingOf([]string{"telemetry", signal}, file), "%v", file.Err)
	if old.snap != nil {
		return err
	}
	g.log.Error(signal+" are not sent before the next edit", "error", err)
	return nil
}

// fenceSection is where the file says who is asked for fences.
var fenceSection = []string{"failover", "fence"}

// settingOf is where a file of a receiver is named, whose section is at a place.
func settingOf(at []string, f *trust.FileError) []string {
	return append(slices.Clone(at), "tls", f.Setting)
}
