package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/testing/fact"
)

var quiet = slog.New(slog.DiscardHandler)

// sink is one that fails while it is told to.
type sink struct {
	mu     sync.Mutex
	fails  bool
	tries  int
	got    []Entry
	closed bool
}

func (s *sink) Write(_ context.Context, lines [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries++; s.fails {
		return io.ErrShortWrite
	}
	for _, l := range lines {
		var e Entry
		if err := json.Unmarshal(l, &e); err != nil {
			return err
		}
		s.got = append(s.got, e)
	}
	return nil
}

func (s *sink) Close() error {
	s.closed = true
	return nil
}

func (s *sink) fail(fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

// TestEntriesWaitForTheSink in their order, and nobody waits for them.
func TestEntriesWaitForTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{fails: true}
		l := Open(s, quiet)
		e := &Entry{Action: "first"}
		l.Record(e)
		l.Record(e) // it is the same
		synctest.Wait()
		l.Record(&Entry{Action: "second"})
		time.Sleep(time.Minute)
		synctest.Wait()
		if l.Waiting() != 2 {
			t.Errorf("%d wait", l.Waiting())
		}
		if s.tries < 10 || s.tries > 30 {
			t.Errorf("%d attempts in a minute", s.tries)
		}
		s.fail(false)
		time.Sleep(retryMost)
		synctest.Wait()
		about := fact.Of(t, "%+v", s.got)
		if fact.Equal(about, "len(s.got)", len(s.got), 2) {
			fact.Equal(about, "s.got[0].Action", s.got[0].Action, "first")
			fact.Equal(about, "s.got[1].Action", s.got[1].Action, "second")
			fact.Other(about, "s.got[0].ID", s.got[0].ID, s.got[1].ID)
			fact.False(about, "s.got[0].Time.IsZero()", s.got[0].Time.IsZero())
		}
		l.Record(&Entry{Action: "last"})
		if err := l.Close(t.Context()); err != nil || len(s.got) != 3 || !s.closed {
			t.Errorf("%v, %d entries", err, len(s.got))
		}
	})
}

// TestWhatFindsNoRoomIsCounted, and the count is written once there is room.
func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{fails: true}
		l := Open(s, quiet)
		const n = 200
		for range n {
			l.Record(&Entry{Action: "edit", Error: strings.Repeat("x", 200<<10)})
		}
		lost := l.Dropped()
		if lost == 0 || lost >= n {
			t.Fatalf("%d of %d dropped", lost, n)
		}
		s.fail(false)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		told := int64(0)
		for _, e := range s.got {
			if e.Action == "dropped" {
				told += e.Count
			}
		}
		if told != lost || int64(len(s.got))-1 != n-lost {
			t.Errorf("%d dropped, %d told, %d written", lost, told, len(s.got))
		}
	})
}

// TestCloseEndsInTime and says what is not written.
func TestCloseEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Open(&sink{fails: true}, quiet)
		l.Record(&Entry{Action: "edit"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 audit entries were not written") {
			t.Error(err)
		}
	})
	var none *Log
	none.Record(&Entry{})
	if err := none.Close(t.Context()); err != nil || none.Dropped() != 0 || none.Waiting() != 0 {
		t.Error(err)
	}
}

// TestALargeEntryKeepsWhoAndWhat: a broker would refuse it for its size, again and again.
func TestALargeEntryKeepsWhoAndWhat(t *testing.T) {
	e := &Entry{Action: "edit", Actor: Actor{User: "ann"}, Before: "1", After: "2", Changes: []Change{{Path: "x", After: strings.Repeat("x", mostEntry)}}}
	line := e.line()
	about := fact.Of(t, "%.300s", line)
	if fact.AtMost(about, "len(line)", len(line), mostEntry) {
		fact.Has(about, line, []byte(`"user":"ann"`))
		fact.Has(about, line, []byte("too large"))
		fact.Equal(about, "len(e.Changes)", len(e.Changes), 1)
	}
	// A caller who is refused may send a lot.
	much := strings.Repeat("\x01", 1<<20)
	stranger := &Entry{Action: "unknown", Actor: Actor{User: much, Agent: much}, Request: "POST /" + much, Outcome: Refused, Error: "no POST /" + much}
	if line = stranger.line(); len(line) > mostEntry || !bytes.Contains(line, []byte(`"request":"POST /`)) || !bytes.Contains(line, []byte("too large")) {
		t.Errorf("%d bytes: %.300s", len(line), line)
	}
}

func lines(t *testing.T, path string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		out = append(out, strings.TrimSuffix(l, "\n"))
	}
	return out
}

// TestFile appends, begins anew what was rotated away, and mends a line that was cut off.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(n int) {
		t.Helper()
		if err := f.Write(t.Context(), [][]byte{fmt.Appendf(nil, "%d\n", n), fmt.Appendf(nil, "%d\n", n+1)}); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(3)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(5)
	if got, old := lines(t, path), lines(t, path+".1"); strings.Join(got, " ") != "5 6" || strings.Join(old, " ") != "1 2" {
		t.Errorf("%q, before %q", got, old)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("7\n{\"cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	write(8)
	if got := lines(t, path); strings.Join(got, " ") != `7 {"cut 8 9` {
		t.Errorf("%q", got)
	}
	_ = f.Close()
	if _, err := OpenFile(filepath.Join(path, "no", "folder")); err == nil {
		t.Error("a file in no folder")
	}
	if _, err := OpenFile(t.TempDir()); err == nil {
		t.Error("a folder")
	}
}

// TestAnswersAreNoted, through whatever stands between.
func TestAnswersAreNoted(t *testing.T) {
	rec := httptest.NewRecorder()
	a := &Answer{ResponseWriter: rec}
	Explain(a, errors.New("not yours"))
	Explain(rec, errors.New("nobody asks"))
	a.WriteHeader(http.StatusForbidden)
	a.WriteHeader(http.StatusOK)
	e := &Entry{}
	e.Fail(a.Status, a.Err)
	about := fact.Of(t, "%+v", e)
	fact.Equal(about, "e.Outcome", e.Outcome, Refused)
	fact.Equal(about, "e.Status", e.Status, 403)
	fact.Equal(about, "e.Error", e.Error, "not yours")
	fact.Equal(about, "rec.Code", rec.Code, 403)
	if e.Fail(502, nil); e.Outcome != Failed {
		t.Errorf("%+v", e)
	}
	if Of(With(t.Context(), e)) != e || Of(t.Context()) == nil {
		t.Error("the entry of a context")
	}
}
