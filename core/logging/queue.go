package logging

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Queue writes records that must not keep those waiting who make them: a goroutine of its own
// writes them, all of them whatever their level, and what comes while the queue is full is counted.
// A nil Queue is empty.
type Queue struct {
	handler *handler
	records chan slog.Record
	dropped atomic.Int64
	end     chan struct{}
	once    sync.Once
	done    guard.Group
}

// NewQueue returns a queue of a component for so many records.
func (l *Log) NewQueue(component string, size int) *Queue {
	q := &Queue{handler: &handler{log: l, component: component}, records: make(chan slog.Record, size), end: make(chan struct{})}
	q.done.Go(q.run)
	return q
}

// Add puts a record into the queue, if there is room. It never waits.
func (q *Queue) Add(r slog.Record) {
	select {
	case q.records <- r:
	default:
		q.dropped.Add(1)
	}
}

// Dropped is how many records found no room.
func (q *Queue) Dropped() int64 {
	if q == nil {
		return 0
	}
	return q.dropped.Load()
}

// Close writes what is queued. Records that come later are dropped.
func (q *Queue) Close() {
	if q == nil {
		return
	}
	q.once.Do(func() { close(q.end) })
	q.done.Wait()
}

// dropped tells of lines that found no room.
func dropped(lines int64) slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines were dropped: they came faster than they could be written", 0)
	r.AddAttrs(slog.Int64("lines", lines))
	return r
}

func (q *Queue) run() {
	var told int64 // of the dropped
	write := func(r slog.Record) {
		_ = q.handler.write(context.Background(), r)
		if n := q.dropped.Load(); n > told {
			_ = q.handler.write(context.Background(), dropped(n-told))
			told = n
		}
	}
	for {
		select {
		case r := <-q.records:
			write(r)
			continue
		case <-q.end:
		}
		for {
			select {
			case r := <-q.records:
				write(r)
			default:
				return
			}
		}
	}
}
