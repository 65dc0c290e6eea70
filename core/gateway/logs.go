package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/server"
)

// accessRoom is how many lines of the access log may wait to be written.
const accessRoom = 1024

// openLog makes the log that the options and the file ask for.
func openLog(o Options, l config.Log) *logging.Log {
	if o.Log != nil {
		return logging.Into(o.Log.Handler(), logSettings(l))
	}
	return logging.NewBehind(os.Stderr, logSettings(l))
}

func logSettings(l config.Log) logging.Settings {
	return logging.Settings{Format: l.Format, Repeats: l.Repeats, Levels: logging.Levels{Level: l.Level, Levels: l.Levels}}
}

// Log is the gateway's own logger.
func (g *Gateway) Log() *slog.Logger { return g.log }

// useLog makes the settings of a file current. Levels that were set by the API stay until the file
// says others than before, or their component is gone.
func (g *Gateway) useLog(before, after *config.Snapshot) {
	s := logSettings(after.Telemetry.Log)
	if before != nil && s.Equal(logSettings(before.Telemetry.Log).Levels) {
		now := g.logs.Settings().Levels
		s.Levels = logging.Levels{Level: now.Level, Levels: maps.Clone(now.Levels)}
		maps.DeleteFunc(s.Levels.Levels, func(component, _ string) bool { return after.CheckComponent(component) != nil })
	}
	g.logs.Set(s)
}

// openAccess opens the access log when it is asked for first. It stays, and with it the count of
// lines that it dropped.
func (g *Gateway) openAccess(_ context.Context, l, old *live) error {
	l.access = old.access.share()
	if l.access == nil && l.snap.Telemetry.Log.Access != (config.AccessLog{}) {
		l.access = newPart(g.logs.NewQueue("access", accessRoom), func(q *logging.Queue) { q.Close() })
	}
	return nil
}

// accessOf is the access log that a configuration asks for, or nil.
func accessOf(l *live) *server.Access {
	a := l.snap.Telemetry.Log.Access
	if a == (config.AccessLog{}) {
		return nil
	}
	return server.NewAccess(a.SampleRatio, a.Errors, l.access.value.Add)
}

// LogLevels are those in force.
func (o operator) LogLevels() admin.LogState {
	now, snap := o.g.logs.Settings().Levels, o.g.Snapshot()
	s := admin.LogState{LogLevels: admin.LogLevels{Level: now.Level, Levels: maps.Clone(now.Levels)}, From: admin.FromFile, Components: map[string]string{}}
	if s.Levels == nil {
		s.Levels = map[string]string{}
	}
	if !now.Equal(logSettings(snap.Telemetry.Log).Levels) {
		s.From = admin.FromAPI
	}
	for _, c := range snap.Components() {
		s.Components[c] = now.Of(c)
	}
	return s
}

// SetLogLevels replaces the levels in force.
func (o operator) SetLogLevels(ctx context.Context, l admin.LogLevels) (admin.LogState, error) {
	snap := o.g.Snapshot()
	bad := func(format string, args ...any) (admin.LogState, error) {
		return admin.LogState{}, &admin.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	if _, err := logging.ParseLevel(l.Level); err != nil {
		return bad("level: %v", err)
	}
	for component, level := range l.Levels {
		if _, err := logging.ParseLevel(level); err != nil {
			return bad("levels: %s: %v", component, err)
		}
		if err := snap.CheckComponent(component); err != nil {
			return bad("levels: %v", err)
		}
	}
	return o.setLevels(ctx, logging.Levels{Level: l.Level, Levels: l.Levels}), nil
}

// ResetLogLevels goes back to those of the file.
func (o operator) ResetLogLevels(ctx context.Context) admin.LogState {
	return o.setLevels(ctx, logSettings(o.g.Snapshot().Telemetry.Log).Levels)
}

func (o operator) setLevels(ctx context.Context, l logging.Levels) admin.LogState {
	o.g.applying.Lock() // an edit of the file sets them, too
	defer o.g.applying.Unlock()
	s := o.g.logs.Settings()
	audit.Of(ctx).Changes = changes("", levelTree(s.Levels), levelTree(l))
	s.Levels = l
	o.g.logs.Set(s)
	return o.LogLevels()
}

func levelTree(l logging.Levels) map[string]any {
	by := map[string]any{}
	for c, level := range l.Levels {
		by[c] = level
	}
	return map[string]any{"level": l.Level, "levels": by}
}
