package fakes

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Store is a log of the catalog that can fail.
type Store struct {
	mu      sync.Mutex
	Entries []catalog.Entry
	fail    error
	writing func(entries []catalog.Entry) // called before each write
}

// Append stores entries, unless it is to fail.
func (s *Store) Append(ctx context.Context, entries ...catalog.Entry) error {
	s.mu.Lock()
	writing := s.writing
	s.mu.Unlock()
	if writing != nil {
		writing(entries)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.Entries = append(s.Entries, entries...)
	return ctx.Err()
}

// Set lets writes fail, and says what is called before each.
func (s *Store) Set(fail error, writing func(entries []catalog.Entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.writing = fail, writing
}

// Rules are a placement that tests edit.
type Rules struct {
	plugin.Placement
	mu    sync.Mutex
	Homes map[string]plugin.Home
}

// Home is the rule of a topic.
func (r *Rules) Home(topic string) plugin.Home {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Homes[topic]
}

// GroupHome is prod for every group.
func (r *Rules) GroupHome(string) string { return "prod" }

// Follows is false: groups stay.
func (r *Rules) Follows(string) bool { return false }

// Warnings counts what is logged as a warning.
type Warnings struct{ N atomic.Int64 }

// Enabled is for slog.Handler.
func (w *Warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle counts.
func (w *Warnings) Handle(context.Context, slog.Record) error { w.N.Add(1); return nil }

// WithAttrs is for slog.Handler.
func (w *Warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup is for slog.Handler.
func (w *Warnings) WithGroup(string) slog.Handler { return w }
