package host

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// lines bounds the lines of a guest's log.
type lines struct {
	mu      sync.Mutex
	second  int64
	count   int
	dropped int // since the last line that was written
	all     int // dropped ever
}

// take reports whether a line may be written, and how many were not since the last one.
func (l *lines) take(limit int) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now().Unix(); now != l.second {
		l.second, l.count = now, 0
	}
	if l.count >= limit {
		l.dropped++
		l.all++
		return false, 0
	}
	l.count++
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}

// lost is how many lines were dropped.
func (l *lines) lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (g *Guest) logLine(ctx context.Context, level int32, line string) {
	if g.Log == nil || !g.Log.Enabled(ctx, slog.Level(level)) {
		return
	}
	ok, dropped := g.lines.take(g.Limits.LogLines)
	if dropped > 0 {
		g.Log.Warn("lines of the guest were dropped: it logs more than limits.log_lines", "lines", dropped)
	}
	if ok {
		g.Log.Log(ctx, slog.Level(level), line)
	}
}
