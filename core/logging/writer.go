package logging

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

const (
	// mostLines is how many lines wait for a writer that does not take them, such as a pipe that
	// nobody reads.
	mostLines = 4096
	// lastLines is how long the end of the log waits for such a writer.
	lastLines = time.Second
)

// background writes lines from a goroutine of its own, so that nobody who logs waits. Lines for
// which there is no room are counted.
type background struct {
	w     io.Writer
	lines chan []byte
	lost  atomic.Int64 // and not told yet
	end   chan struct{}
	once  sync.Once
	done  chan struct{}
}

func newBackground(w io.Writer) *background {
	b := &background{w: w, lines: make(chan []byte, mostLines), end: make(chan struct{}), done: make(chan struct{})}
	guard.Go(b.run)
	return b
}

// Write is for io.Writer. It never waits, and never fails.
func (b *background) Write(p []byte) (int, error) {
	select {
	case <-b.done: // closed
		return b.w.Write(p)
	default:
	}
	select {
	case b.lines <- bytes.Clone(p):
	default:
		b.lost.Add(1)
	}
	return len(p), nil
}

func (b *background) run() {
	defer close(b.done)
	for {
		select {
		case line := <-b.lines:
			_, _ = b.w.Write(line)
			continue
		case <-b.end:
		}
		for {
			select {
			case line := <-b.lines:
				_, _ = b.w.Write(line)
			default:
				return
			}
		}
	}
}

// close writes what is left, unless the writer does not take it.
func (b *background) close() {
	b.once.Do(func() { close(b.end) })
	t := time.NewTimer(lastLines)
	defer t.Stop()
	select {
	case <-b.done:
	case <-t.C:
	}
}
