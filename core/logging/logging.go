// Package logging is the log of the gateway: slog with a level per component that can be changed
// while it runs, the ids of traces, and repeats that are counted instead of written.
package logging

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Component is the attribute that says which part of the gateway a record is of. A logger gets it
// once, by With; it decides the level.
const Component = "component"

// Levels say from which level on records are written: debug, info, warn or error.
type Levels struct {
	// Level is that of components without one of their own.
	Level string
	// Levels are by component. That of "wasm" is also that of "wasm.mask", unless it has its own.
	Levels map[string]string
}

// Equal reports the same levels.
func (l Levels) Equal(o Levels) bool { return l.Level == o.Level && maps.Equal(l.Levels, o.Levels) }

// ParseLevel is the level that a name of Levels stands for.
func ParseLevel(name string) (slog.Level, error) {
	i := slices.Index([]string{"debug", "info", "warn", "error"}, name)
	if i < 0 {
		return 0, fmt.Errorf("%q is not one of debug, info, warn, error", name)
	}
	return slog.Level(4 * (i - 1)), nil
}

// Of is the name of the level of a component.
func (l Levels) Of(component string) string {
	for name := component; name != ""; {
		if level, ok := l.Levels[name]; ok {
			return level
		}
		name = name[:max(strings.LastIndexByte(name, '.'), 0)]
	}
	return l.Level
}

// Settings of a Log.
type Settings struct {
	// Format is text or json.
	Format string
	Levels
	// Repeats is for how long lines like one that was written are counted instead of written; 0
	// writes all.
	Repeats time.Duration
}

// Log is where all loggers of a process write to. Its settings may be changed at any time.
type Log struct {
	handler  func(format string) slog.Handler
	settings atomic.Pointer[settings]
	repeats  repeats
	behind   *background // nil for a log that writes at once
}

// settings are never changed, but replaced.
type settings struct {
	Settings
	handler slog.Handler
}

// NewBehind is New for a writer that may block: lines are written by a goroutine, and those that
// find no room are counted. Close ends it.
func NewBehind(w io.Writer, s Settings) *Log {
	b := newBackground(w)
	l := New(b, s)
	l.behind = b
	return l
}

// New returns a log that writes lines to w.
func New(w io.Writer, s Settings) *Log {
	o := &slog.HandlerOptions{Level: slog.Level(-128)} // levels are decided here
	return newLog(func(format string) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(w, o)
		}
		return slog.NewTextHandler(w, o)
	}, s)
}

// Into returns a log whose records go to h, which decides their format, and may want fewer of them.
func Into(h slog.Handler, s Settings) *Log {
	return newLog(func(string) slog.Handler { return h }, s)
}

func newLog(h func(string) slog.Handler, s Settings) *Log {
	l := &Log{handler: h, repeats: repeats{said: map[saying]*said{}}}
	l.Set(s)
	return l
}

// Set changes the settings of all loggers. Levels that are not ones are info.
func (l *Log) Set(s Settings) { l.settings.Store(&settings{s, l.handler(s.Format)}) }

// Settings are those in force.
func (l *Log) Settings() Settings { return l.settings.Load().Settings }

// Logger returns the logger of a component.
func (l *Log) Logger(component string) *slog.Logger {
	return slog.New(&handler{log: l}).With(Component, component)
}

// Close writes how often was repeated what has been counted so far.
func (l *Log) Close() {
	l.repeats.flush()
	if l.behind != nil {
		l.behind.close()
	}
}

// handler is that of a logger.
type handler struct {
	log       *Log
	component string
	with      []func(slog.Handler) slog.Handler // what With and WithGroup were called with
	grouped   bool
	hash      uint64 // of the same
	cache     atomic.Pointer[made]
}

// made is a handler made for certain settings.
type made struct {
	of      *settings
	level   slog.Level
	handler slog.Handler
}

func (h *handler) made() *made {
	s := h.log.settings.Load()
	if m := h.cache.Load(); m != nil && m.of == s {
		return m
	}
	m := &made{of: s, handler: s.handler}
	m.level, _ = ParseLevel(s.Of(h.component))
	if h.component != "" {
		m.handler = m.handler.WithAttrs([]slog.Attr{slog.String(Component, h.component)})
	}
	for _, with := range h.with {
		m.handler = with(m.handler)
	}
	h.cache.Store(m)
	return m
}

// Enabled is for slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	m := h.made()
	return level >= m.level && m.handler.Enabled(ctx, level)
}

// Handle is for slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	hash := h.hash
	r.Attrs(func(a slog.Attr) bool {
		hash = mix(hash, a)
		return true
	})
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if window := h.log.Settings().Repeats; window > 0 && !telemetry.IsEveryLine(ctx) && !h.log.repeats.news(h, r, hash, window) {
		return nil
	}
	return h.write(ctx, r)
}

func (h *handler) write(ctx context.Context, r slog.Record) error {
	if b := h.log.behind; b != nil && len(b.lines) < cap(b.lines)-1 {
		if n := b.lost.Swap(0); n > 0 {
			_ = h.made().handler.Handle(ctx, dropped(n))
		}
	}
	return h.made().handler.Handle(ctx, r)
}

var seed = maphash.MakeSeed()

func mix(hash uint64, a slog.Attr) uint64 {
	return hash*31 + maphash.String(seed, a.Key)*7 + maphash.String(seed, a.Value.Resolve().String())
}

func (h *handler) then(f func(slog.Handler) slog.Handler) *handler {
	return &handler{log: h.log, component: h.component, with: append(h.with[:len(h.with):len(h.with)], f), grouped: h.grouped, hash: h.hash}
}

// WithAttrs is for slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	component, rest := h.component, make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if a.Key == Component && !h.grouped {
			component = a.Value.String()
		} else {
			rest = append(rest, a)
		}
	}
	out := h
	if len(rest) > 0 || component != h.component {
		out = h.then(func(in slog.Handler) slog.Handler { return in.WithAttrs(rest) })
		out.component = component
		for _, a := range rest {
			out.hash = mix(out.hash, a)
		}
	}
	return out
}

// WithGroup is for slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	out := h.then(func(in slog.Handler) slog.Handler { return in.WithGroup(name) })
	out.grouped = true
	out.hash = mix(out.hash, slog.String("group", name))
	return out
}
