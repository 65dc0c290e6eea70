// Package audit is the record of what operators do: who, from where, what, and what was before and
// after. Entries are written in their order by a goroutine of the log's own, so that no action
// waits for them.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Actor is who does something, and from where.
type Actor struct {
	// User is a name of `admin: users:`, "file" for who edits the file by hand, or "gateway". With
	// an entry that was refused for a wrong password it is whoever the caller claimed to be.
	User string `json:"user"`
	Role string `json:"role,omitempty"`
	// Address is the remote one, host:port.
	Address string `json:"address,omitempty"`
	// Via is the way: api, console, http (the older routes), file, or gateway.
	Via string `json:"via"`
	// Agent is what the caller's program says of itself.
	Agent string `json:"agent,omitempty"`
}

// Outcome says what came of an action.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused" // the asker has to do something about it
	Failed  Outcome = "failed"
)

// Change is a value that is another one than before; nil is none.
type Change struct {
	Path   string `json:"path"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Move is a move that an entry is about.
type Move struct {
	ID      string `json:"id"`
	From    string `json:"from"`
	To      string `json:"to"`
	Phase   string `json:"phase"`
	Planned bool   `json:"planned"`
}

// Code is a version of a plugin.
type Code struct {
	Version string `json:"version,omitempty"`
	Digest  string `json:"sha256"`
}

// Swap is a plugin of which another version has come into force.
type Swap struct {
	VirtualCluster string `json:"virtual_cluster"`
	Plugin         string `json:"plugin"`
	Before         Code   `json:"before"`
	After          Code   `json:"after"`
}

// Entry is one action.
type Entry struct {
	Time time.Time `json:"time"`
	// ID is given by the log: an entry that was written twice, for the answer to the first attempt
	// got lost, has the same.
	ID     string `json:"id"`
	Action string `json:"action"`
	Actor
	// Request is method and path.
	Request        string   `json:"request,omitempty"`
	VirtualCluster string   `json:"virtual_cluster,omitempty"`
	Topics         []string `json:"topics,omitempty"`
	Move           *Move    `json:"move,omitempty"`
	// File is one that the configuration names, and that has changed.
	File string `json:"file,omitempty"`
	// Swaps are the plugins that have other code since.
	Swaps []Swap `json:"swaps,omitempty"`
	// Before and After are revisions of the file.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Changes are what was asked for; Outcome says whether it came into force. Secrets are masked.
	Changes []Change `json:"changes,omitempty"`
	Outcome Outcome  `json:"outcome"`
	Status  int      `json:"status,omitempty"` // of HTTP, of what was refused or failed
	Error   string   `json:"error,omitempty"`
	// Count is how many entries were dropped before this one, which is of the action "dropped".
	Count int64 `json:"count,omitempty"`

	recorded bool
}

// Fail sets what came of the action: the status decides whose error it is.
func (e *Entry) Fail(status int, err error) {
	e.Outcome, e.Status = Refused, status
	if status >= 500 {
		e.Outcome = Failed
	}
	if err != nil {
		e.Error = err.Error()
	}
}

type entryKey struct{}

// With returns a context of an action, whose entry is filled in on the way.
func With(ctx context.Context, e *Entry) context.Context {
	return context.WithValue(ctx, entryKey{}, e)
}

// Of is the entry of the action that ctx belongs to; without one, an entry that nobody records.
func Of(ctx context.Context) *Entry {
	if e, ok := ctx.Value(entryKey{}).(*Entry); ok {
		return e
	}
	return &Entry{recorded: true}
}

// Answer is a response that notes what becomes of an action.
type Answer struct {
	http.ResponseWriter
	Status int
	Err    error
}

// WriteHeader is for http.ResponseWriter.
func (a *Answer) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Explain notes the error that w answers with, if w is an Answer.
func Explain(w http.ResponseWriter, err error) {
	if a, ok := w.(*Answer); ok {
		a.Err = err
	}
}

// Sink is where entries go.
type Sink interface {
	// Write writes lines of JSON, all of them or, with an error, maybe some: they come again.
	Write(ctx context.Context, lines [][]byte) error
	Close() error
}

const (
	mostBytes  = 16 << 20  // waiting in memory
	mostEntry  = 256 << 10 // bytes of one; what is larger loses its changes
	mostAtOnce = 256 << 10
	mostSaid   = 1000 // bytes of what a caller says of itself, who may be anybody
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Log writes entries to a sink. A nil Log writes none.
type Log struct {
	sink    Sink
	log     *slog.Logger
	name    string
	dropped atomic.Int64

	mu    sync.Mutex
	lines [][]byte
	bytes int
	seq   int
	owed  int64 // dropped and not told yet
	more  chan struct{}
	end   chan struct{}
	done  chan struct{}
	stop  context.CancelFunc
}

// Open returns a log that writes to a sink, which it closes. Troubles with it go to log.
func Open(sink Sink, log *slog.Logger) *Log {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Log{
		sink: sink, log: log, name: strconv.FormatInt(time.Now().UnixNano(), 36), more: make(chan struct{}, 1), end: make(chan struct{}),
		done: make(chan struct{}), stop: cancel,
	}
	guard.Go(func() { l.run(ctx) })
	return l
}

// Record writes an entry soon; once, however often it is recorded. It never waits: entries for
// which there is no room, since the sink has failed for long, are counted.
func (l *Log) Record(e *Entry) {
	if l == nil || e.recorded {
		return
	}
	e.recorded = true
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.ID = fmt.Sprintf("%s-%d", l.name, l.seq)
	line := e.line()
	if l.bytes+len(line) > mostBytes {
		l.owed++
		l.dropped.Add(1)
		return
	}
	l.lines, l.bytes = append(l.lines, line), l.bytes+len(line)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// line is the entry as JSON.
func (e *Entry) line() []byte {
	short := *e
	for _, said := range []*string{&short.User, &short.Agent, &short.Request} {
		*said = (*said)[:min(len(*said), mostSaid)]
	}
	b, err := json.Marshal(&short)
	if err != nil || len(b) > mostEntry {
		short.Changes, short.Topics = nil, nil
		short.Error = fmt.Sprintf("%.1000s (changes and topics are left out here: they are too large)", e.Error)
		b, _ = json.Marshal(&short)
	}
	return append(b, '\n')
}

// Dropped is how many entries were dropped.
func (l *Log) Dropped() int64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// Waiting is how many entries are not written yet.
func (l *Log) Waiting() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// Close writes what is left, for as long as ctx lasts. The error says how much was not written.
func (l *Log) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	close(l.end)
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	l.stop()
	<-l.done
	err := l.sink.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.lines); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d audit entries were not written", n))
	}
	return err
}

// next is what to write at once.
func (l *Log) next() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed > 0 && l.bytes < mostBytes/2 { // there is room again: tell of those for which there was none
		l.seq++
		e := &Entry{Time: time.Now(), ID: fmt.Sprintf("%s-%d", l.name, l.seq), Action: "dropped", Actor: Actor{User: "gateway", Via: "gateway"}, Outcome: Failed, Count: l.owed}
		line := e.line()
		l.lines, l.bytes, l.owed = append(l.lines, line), l.bytes+len(line), 0
	}
	size, n := 0, 0
	for n < len(l.lines) && (n == 0 || size+len(l.lines[n]) <= mostAtOnce) {
		size += len(l.lines[n])
		n++
	}
	return slices.Clone(l.lines[:n])
}

// written takes lines off the queue.
func (l *Log) written(lines [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range lines {
		l.bytes -= len(b)
	}
	l.lines = slices.Delete(l.lines, 0, len(lines))
}

func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	wait := retryFirst
	for {
		lines := l.next()
		if len(lines) == 0 {
			select {
			case <-l.more:
				continue
			case <-l.end:
				if lines = l.next(); len(lines) == 0 {
					return
				}
			}
		}
		err := l.sink.Write(ctx, lines)
		if err == nil {
			l.written(lines)
			wait = retryFirst
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.log.Error("audit entries not written, they are tried again", "error", err)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		wait = min(2*wait, retryMost)
	}
}
