package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/state"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/trust"
	"github.com/sluice-gateway/sluice/core/upstream"
	"github.com/sluice-gateway/sluice/core/wire"
)

// CheckedChain is the chain of a virtual cluster, built but not served.
type CheckedChain struct {
	VirtualCluster string
	Chain          *chain.Chain
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...catalog.Entry) error { return nil }

// Checked is what a file comes to.
type Checked struct {
	Chains   []CheckedChain
	Warnings config.Errors
}

// Check is Inspect for who needs the chains.
func Check(ctx context.Context, path string, specs []plugin.Spec) ([]CheckedChain, error) {
	c, err := Inspect(ctx, path, specs)
	return c.Chains, err
}

// Inspect builds everything that a file describes without serving it or asking a cluster. What the
// state says of topics counts if no gateway runs with it. The error is a config.Errors with all
// that is wrong, in all parts that could be read, as far as it is the file's, and shows no secret.
func Inspect(ctx context.Context, path string, specs []plugin.Spec) (c Checked, err error) {
	snap, err := config.Survey(path)
	if snap == nil {
		return c, err
	}
	defer func() { err = snap.Hide(err) }()
	var errs config.Errors
	if c.Warnings = snap.Warnings; err != nil && !errors.As(err, &errs) {
		return c, err
	}
	// What could not be read can't be built either.
	snap.VirtualClusters = slices.DeleteFunc(snap.VirtualClusters, func(vc config.VirtualCluster) bool { return len(snap.Spans(&vc)) == 0 })
	l, done, more, err := inspect(ctx, snap, specs)
	if err != nil {
		return c, err
	}
	defer done()
	if c.Warnings = errs.And(slices.Clone(l.warnings)...)[len(errs):]; len(errs)+len(more) > 0 {
		return c, errs.And(more...).Err()
	}
	for _, vc := range snap.VirtualClusters {
		c.Chains = append(c.Chains, CheckedChain{vc.Name, l.runtimes[vc.Name].chain})
	}
	return c, nil
}

// inspect builds what can be built of a snapshot, and tells all that can't. done gives it back.
func inspect(ctx context.Context, snap *config.Snapshot, specs []plugin.Spec) (l *live, done func(), errs config.Errors, err error) {
	entries, err := state.Read(snap.State.Dir)
	if err != nil && !errors.Is(err, state.ErrInUse) {
		errs, entries = snap.Errorf([]string{"state", "dir"}, "%v", err), nil
	}
	cat, err := catalog.New(nowhere{}, entries)
	if err != nil {
		return nil, nil, nil, err
	}
	logs := logging.Into(slog.DiscardHandler, logSettings(snap.Telemetry.Log))
	g := &Gateway{opts: Options{Specs: specs}, logs: logs, log: logs.Logger("gateway"), catalog: cat, pool: &wire.Buffers{}}
	none := &live{}
	g.live.Store(none)
	l = &live{clusters: map[string]*upstream.Cluster{}}
	if l.snap, l.names, err = g.adopt(ctx, snap); err != nil {
		errs = append(errs, snap.Positioned(err)...)
		l.snap = snap
	}
	for _, c := range l.snap.Clusters {
		l.clusters[c.Name] = upstream.Unwatched(c, cat, g.pool)
	}
	for _, open := range []func(context.Context, *live, *live) error{g.openAccess, g.openRuntimes} {
		errs = append(errs, snap.Positioned(open(ctx, l, none))...)
	}
	// Files keep no gateway from starting, and may be on another machine.
	for _, r := range []struct {
		section []string
		to      telemetry.Receiver
	}{
		{[]string{"telemetry", "traces"}, tracesTo(snap).Receiver}, {[]string{"telemetry", "metrics"}, exportOf(snap).Receiver}, {fenceSection, fenceTLS(snap)},
	} {
		var file *trust.FileError
		if errors.As(r.to.Check(), &file) {
			l.warnings = append(l.warnings, snap.Warnf(settingOf(r.section, file), "%v", file.Err))
		}
	}
	for _, vc := range snap.VirtualClusters {
		if _, err := loadCertificate(snap.Path, vc.Listen.TLS); err != nil {
			l.warnings = append(l.warnings, snap.Warnf([]string{"virtual_clusters", vc.Name, "listen", "tls"}, "%v", err))
		}
	}
	l.warnings.Sort()
	return l, func() { l.release(); g.closing.Wait() }, errs, nil
}
