package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

const (
	// mostAlike is how many different lines with one message are written in a window.
	mostAlike = 100
	// mostSayings bounds the messages that are remembered; what comes beyond them is written.
	mostSayings = 1000
)

// saying is what makes lines alike.
type saying struct {
	component, message string
	level              slog.Level
}

// said are the lines of one saying in a window that began with the first of them.
type said struct {
	timer  *time.Timer
	lines  map[uint64]struct{} // those that were written
	count  int                 // those that were not
	last   slog.Record         // of these
	writer *handler
}

// repeats keeps lines out that say what has just been said: the same with the same attributes, or
// the same message with many different ones. When a window ends, its last such line is written,
// with their number as "repeated".
type repeats struct {
	mu   sync.Mutex
	said map[saying]*said
}

// news reports a line that is to be written, and counts another.
func (p *repeats) news(h *handler, r slog.Record, hash uint64, window time.Duration) bool {
	key := saying{h.component, r.Message, r.Level}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.said[key]
	if s == nil {
		if len(p.said) < mostSayings {
			s = &said{lines: map[uint64]struct{}{hash: {}}}
			s.timer = guard.After(window, func() { p.end(key, s) })
			p.said[key] = s
		}
		return true
	}
	if _, ok := s.lines[hash]; !ok && len(s.lines) < mostAlike {
		s.lines[hash] = struct{}{}
		return true
	}
	s.count++
	s.last, s.writer = r.Clone(), h
	return false
}

// end closes a window.
func (p *repeats) end(key saying, s *said) {
	p.mu.Lock()
	mine := p.said[key] == s
	if mine {
		delete(p.said, key)
	}
	p.mu.Unlock()
	if mine {
		s.write()
	}
}

func (s *said) write() {
	if s.count > 0 {
		s.last.AddAttrs(slog.Int("repeated", s.count))
		_ = s.writer.write(context.Background(), s.last)
	}
}

// flush closes all windows.
func (p *repeats) flush() {
	p.mu.Lock()
	all := p.said
	p.said = map[saying]*said{}
	p.mu.Unlock()
	for _, s := range all {
		s.timer.Stop()
		s.write()
	}
}
