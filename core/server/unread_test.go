package server

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// large is an answer of half a MiB.
func large(req *plugin.Request) (*plugin.Response, error) {
	turn.Give(req.Turn())
	m := kmsg.NewPtrFetchResponse()
	m.SetVersion(12)
	topic := kmsg.NewFetchResponseTopic()
	part := kmsg.NewFetchResponseTopicPartition()
	part.RecordBatches = make([]byte, 512<<10)
	topic.Partitions = append(topic.Partitions, part)
	m.Topics = append(m.Topics, topic)
	return plugin.Respond(m), nil
}

// TestNobodyWaitsForAClientThatDoesNotRead: its answers hold no lock that operators or other
// clients need.
func TestNobodyWaitsForAClientThatDoesNotRead(t *testing.T) {
	l := limits()
	l.SessionBytes = 64 << 20
	s, addr := serve(t, l, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		if req.Key == kmsg.Fetch {
			return large(req)
		}
		return ok(req)
	})
	c := dial(t, addr)
	for range 60 {
		c.send(fetch(12, 0, -1, "large"))
	}
	stuck := func() bool { // in the middle of a write, with answers behind it that the writer does not take
		for ss := range s.sessions {
			ss.mu.Lock()
			defer ss.mu.Unlock()
			return ss.crowded
		}
		return false
	}
	until(t, "the writer is full", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return stuck() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n := len(s.Clients()); n != 1 {
			t.Errorf("%d clients", n)
		}
		other := dial(t, addr)
		other.send(heartbeat("g"))
		other.receive(kmsg.Heartbeat, 4)
	}()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Fatal("waits for the client that does not read")
	}
	for want := int32(1); want <= 60; want++ {
		if corr, _ := c.receive(kmsg.Fetch, 12); corr != want {
			t.Fatalf("answer %d, want %d", corr, want)
		}
	}
}

// source is a link that has answers to requests from earliest on.
type source struct{ earliest uint64 }

func (source) Waits()                  {}
func (source) Queued() <-chan struct{} { return nil }
func (s source) Earliest() uint64      { return s.earliest }

// rooms is a session with requests that are not answered, and what was admitted.
func rooms(t *testing.T, requests int, process int64) *session {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	l := limits()
	l.SessionBytes = 1000 << 10
	s := &Server{virtual: &fakeVirtual{&Runtime{}}, memory: NewMemory(process)}
	ss := s.newSession(near, Address{}, l)
	for i := range requests {
		ss.slots.Push(&slot{session: ss, seq: uint64(i + 1)})
	}
	return ss
}

func TestAnswersWaitForRoom(t *testing.T) {
	const kib = 1 << 10
	admit := func(ss *session, seq uint64, n int, repeatable bool, earliest uint64) chan error {
		out := make(chan error, 1)
		go func() {
			out <- ss.admitAnswer(ss.ctx, plugin.Incoming{Seq: seq, Size: n, Repeatable: repeatable}, source{earliest})
		}()
		synctest.Wait()
		return out
	}
	leave := func(ss *session) {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		ss.leaveMemory(ss.slots.Pop())
		ss.change()
	}
	for name, run := range map[string]func(t *testing.T){
		"the first always fits": func(t *testing.T) {
			if err := <-admit(rooms(t, 2, 0), 1, 5000*kib, true, 1); err != nil {
				t.Error(err)
			}
		},
		"a later one waits for the first to leave": func(t *testing.T) {
			ss := rooms(t, 2, 0)
			<-admit(ss, 1, 900*kib, true, 1)
			got := admit(ss, 2, 200*kib, true, 2)
			if len(got) != 0 {
				t.Fatal("admitted")
			}
			leave(ss)
			if err := <-got; err != nil {
				t.Error(err)
			}
		},
		"a tiny one does not wait": func(t *testing.T) {
			ss := rooms(t, 2, 0)
			<-admit(ss, 1, 1500*kib, true, 1)
			if err := <-admit(ss, 2, 100, false, 2); err != nil {
				t.Error(err)
			}
		},
		"one in the way of the first is thrown away": func(t *testing.T) {
			if err := <-admit(rooms(t, 2, 0), 2, 2000*kib, true, 1); err != plugin.ErrNoRoom { //nolint:errorlint // it is that one
				t.Error(err)
			}
		},
		"one in the way that can't be asked for again is admitted": func(t *testing.T) {
			if err := <-admit(rooms(t, 2, 0), 2, 2000*kib, false, 1); err != nil {
				t.Error(err)
			}
		},
		"one answer at a time goes beyond what the process has": func(t *testing.T) {
			a := rooms(t, 1, 1000*kib)
			b := &session{server: a.server, limits: a.limits, ctx: a.ctx}
			b.slots.Push(&slot{session: b, seq: 1})
			<-admit(a, 1, 3000*kib, true, 1)
			got := admit(b, 1, 3000*kib, true, 1)
			if len(got) != 0 {
				t.Fatal("a second one is beyond")
			}
			leave(a)
			if err := <-got; err != nil {
				t.Error(err)
			}
		},
		"the small first one of another client does not wait": func(t *testing.T) {
			a := rooms(t, 1, 1000*kib)
			b := &session{server: a.server, limits: a.limits, ctx: a.ctx}
			b.slots.Push(&slot{session: b, seq: 1})
			<-admit(a, 1, 3000*kib, true, 1)
			if err := <-admit(b, 1, 60*kib, true, 1); err != nil {
				t.Error(err)
			}
		},
		"the end of the session ends the wait": func(t *testing.T) {
			ss := rooms(t, 2, 0)
			got := admit(ss, 2, 2000*kib, true, 2)
			ss.cancel(net.ErrClosed)
			if err := <-got; err == nil {
				t.Error("admitted")
			}
		},
		"nothing stays counted": func(t *testing.T) {
			ss := rooms(t, 2, 1000*kib)
			<-admit(ss, 1, 900*kib, true, 1)
			ss.drop()
			if n := ss.server.memory.Used(); n != 0 {
				t.Errorf("%d bytes", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
	}
}

// TestAClientThatDoesNotReadMakesRoom when others wait, and not before: then its turn comes at the
// end of the write.
func TestAClientThatDoesNotReadMakesRoom(t *testing.T) {
	l := limits()
	l.SessionBytes = 64 << 20
	s, addr := serve(t, l, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		return large(req)
	})
	c := dial(t, addr)
	for range 60 {
		c.send(fetch(12, 0, -1, "large"))
	}
	s.memory.patience = 20 * time.Millisecond
	until(t, "the client is stuck", func() bool { return s.memory.stuck(time.Now()) != nil })
	until(t, "its answers fill what there is for them", func() bool { return s.memory.Used() > 8<<20 })
	other := rooms(t, 1, 0)
	other.server.memory = s.memory
	got := make(chan error, 1)
	admit := func(n int) {
		got <- other.admitAnswer(other.ctx, plugin.Incoming{Seq: 1, Size: n}, source{1})
	}
	admit(400 << 10) // there is no limit
	if err := <-got; err != nil || s.Sessions() != 1 {
		t.Fatalf("%v, %d sessions", err, s.Sessions())
	}
	s.memory.SetLimit(10 << 20)
	s.memory.mu.Lock()
	s.memory.beyond = c // what is taken by others
	s.memory.mu.Unlock()
	go admit(400 << 10)
	until(t, "the client is closed", func() bool { return s.Sessions() == 0 })
	if err := <-got; err != nil {
		t.Error(err)
	}
}
