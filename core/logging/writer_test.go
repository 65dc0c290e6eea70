package logging

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/eventually"
)

// pipe is a writer that does not take anything until it is read.
type pipe struct {
	read chan struct{}
	got  bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) {
	<-p.read
	return p.got.Write(b)
}

// TestNobodyWaitsForAFullPipe: lines for which there is no room are counted, and told of when there
// is.
func TestNobodyWaitsForAFullPipe(t *testing.T) {
	p := &pipe{read: make(chan struct{})}
	l := NewBehind(p, Settings{Format: "text", Levels: Levels{Level: "info"}})
	log := l.Logger("gateway")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range mostLines + 100 {
			log.Info("a line", "number", i)
		}
	}()
	select {
	case <-done:
	case <-time.After(eventually.Limit):
		t.Fatal("logging waits for the pipe")
	}
	close(p.read)
	if !eventually.True(func() bool { return len(l.behind.lines) == 0 }) {
		t.Fatal("nothing is written")
	}
	log.Info("the last line")
	l.Close()
	if lines := strings.Count(p.got.String(), "a line"); lines < mostLines {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(p.got.String(), "lines were dropped") {
		t.Error("nobody says that lines were dropped")
	}
	if !strings.HasSuffix(strings.TrimSpace(p.got.String()), `msg="the last line" component=gateway`) {
		t.Errorf("the last line is not the last: %s", p.got.String()[max(0, p.got.Len()-200):])
	}
}

// TestTheEndOfALogWaitsForItsLines, but not for ever.
func TestTheEndOfALogDoesNotWaitForAFullPipe(t *testing.T) {
	p := &pipe{read: make(chan struct{})}
	l := NewBehind(p, Settings{Format: "json", Levels: Levels{Level: "info"}})
	l.Logger("gateway").Info("a line")
	l.Close()
	close(p.read)
	<-l.behind.done
	if !strings.Contains(p.got.String(), "a line") {
		t.Error("lost")
	}
}
