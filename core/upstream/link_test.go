package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// ending is how a call ended.
type ending struct {
	throttle int32 // what its answer said
	err      error
}

// rig is a link whose other end a test holds.
type rig struct {
	t    *testing.T
	link *link
	far  net.Conn
	up   chan error // let go of the dial
	near *counted

	mu    sync.Mutex
	ended map[string][]ending // by the group that a call names
	order []string
	ends  atomic.Int32 // calls of onEnd
}

// counted counts the writes of a connection.
type counted struct {
	net.Conn
	writes atomic.Int32
	reset  atomic.Bool // writes fail
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.reset.Load() {
		return 0, syscall.ECONNRESET
	}
	return c.Conn.Write(p)
}

const rigLimit = 1000

func newRig(t *testing.T) *rig {
	near, far := pipe()
	r := &rig{t: t, far: far, near: &counted{Conn: near}, up: make(chan error, 1), ended: map[string][]ending{}}
	r.link = newLink(func(context.Context) (net.Conn, error) {
		if err := <-r.up; err != nil {
			return nil, err
		}
		return r.near, nil
	}, &wire.Buffers{}, rigLimit, func(error) { r.ends.Add(1) })
	t.Cleanup(func() {
		_ = r.link.Close()
		close(r.up)
		_ = errors.Join(near.Close(), far.Close())
	})
	return r
}

// connected is a rig whose connection is up.
func connected(t *testing.T) *rig {
	r := newRig(t)
	r.up <- nil
	return r
}

// call makes a heartbeat of a group, or what key says.
func (r *rig) call(group string, key kmsg.Key) *call {
	c := &call{key: key, version: 4}
	c.encode = func(o *kafka.Out) {
		o.AppendHeader(kafka.Header{Key: key, Version: 4})
		h := kmsg.NewPtrHeartbeatRequest()
		h.Version, h.Group = 4, group
		o.Append(h.AppendTo(nil))
	}
	c.done = func(_, body []byte, err error) {
		e := ending{err: err}
		if err == nil {
			if msg, perr := kafka.NewResponseBody(key, 4, body).Peek(); perr != nil {
				r.t.Error(perr)
			} else if h, ok := msg.(*kmsg.HeartbeatResponse); ok {
				e.throttle = h.ThrottleMillis
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended[group] = append(r.ended[group], e)
		r.order = append(r.order, group)
	}
	return c
}

func (r *rig) send(group string) *call {
	c := r.call(group, kmsg.Heartbeat)
	r.link.send(c, true)
	return c
}

// read takes the next request off the connection.
func (r *rig) read() (corr int32, group string) {
	r.t.Helper()
	frame, err := kafka.ReadFrame(r.far, rigLimit, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	h, body, err := kafka.ParseHeader(frame, "")
	if err != nil {
		r.t.Fatal(err)
	}
	var m kmsg.HeartbeatRequest
	m.Version = 4
	if err := m.ReadFrom(body); err != nil {
		r.t.Fatal(err)
	}
	return h.CorrelationID, m.Group
}

func heartbeatReply(corr, throttle int32) []byte {
	m := kmsg.NewPtrHeartbeatResponse()
	m.Version, m.ThrottleMillis = 4, throttle
	return reply(kmsg.Heartbeat, 4, corr, m)
}

func (r *rig) write(b []byte) {
	r.t.Helper()
	if _, err := r.far.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// once returns how each call ended, all of them exactly once.
func (r *rig) once(groups ...string) (out []ending) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range groups {
		if len(r.ended[g]) != 1 {
			r.t.Fatalf("%s ended %d times", g, len(r.ended[g]))
		}
		out = append(out, r.ended[g][0])
	}
	return out
}

// broken checks that calls ended, once, with a BrokenError.
func (r *rig) broken(sent bool, groups ...string) {
	r.t.Helper()
	for i, e := range r.once(groups...) {
		var b *BrokenError
		about := fact.Of(r.t, "%s: %v, want sent=%t", groups[i], e.err, sent)
		fact.True(about, "errors.As(e.err, &b)", errors.As(e.err, &b))
		fact.True(about, "errors.Is(e.err, plugin.ErrUnreachable)", errors.Is(e.err, plugin.ErrUnreachable))
		fact.Equal(about, "b.Sent", b.Sent, sent)
		fact.Equal(about, "plugin.MaybeSent(e.err)", plugin.MaybeSent(e.err), sent)
	}
}

// TestRepliesAreMatchedInOrder: requests from many sides leave with rising correlation ids, those
// sent before the connection is up first, and each gets its own reply.
func TestRepliesAreMatchedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var early []string
		for i := range 50 {
			early = append(early, fmt.Sprint("early-", i))
			r.send(early[i])
		}
		r.up <- nil
		want := map[string]int32{}
		next := func(n int) (groups []string) {
			for range n {
				corr, group := r.read()
				if int(corr) != len(want)+1 {
					t.Fatalf("correlation id %d at place %d", corr, len(want)+1)
				}
				want[group] = corr
				groups = append(groups, group)
			}
			return groups
		}
		if got := next(50); !slices.Equal(got, early) {
			t.Errorf("left as %v", got)
		}
		var senders sync.WaitGroup
		for s := range 8 {
			senders.Go(func() {
				for i := range 50 {
					r.send(fmt.Sprint(s, "-", i))
				}
			})
		}
		all := append(early, next(400)...)
		senders.Wait()
		for i, group := range all {
			r.write(heartbeatReply(want[group], int32(i)))
		}
		for i, e := range r.once(all...) {
			if e.err != nil || e.throttle != int32(i) {
				t.Errorf("%s got %+v", all[i], e)
			}
		}
		if !slices.Equal(r.order, all) {
			t.Error("answered in another order than sent")
		}
	})
}

func TestWhatIsNotFlushedLeavesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := connected(t)
		r.send("first")
		r.read()
		synctest.Wait() // until then, whoever wrote the first also writes what is appended meanwhile
		before := r.near.writes.Load()
		for i := range 20 {
			r.link.send(r.call(fmt.Sprint(i), kmsg.Heartbeat), false)
		}
		synctest.Wait()
		if n := r.near.writes.Load(); n != before {
			t.Errorf("%d writes before the flush", n-before)
		}
		go r.link.flush()
		for i := range 20 {
			if _, group := r.read(); group != fmt.Sprint(i) {
				t.Errorf("%s left at place %d", group, i)
			}
		}
		if n := r.near.writes.Load(); n != before+1 {
			t.Errorf("%d writes", n-before)
		}
	})
}

// TestABadReplyBreaksTheLink: whatever a broker does wrong, all that wait on its link end, once.
func TestABadReplyBreaksTheLink(t *testing.T) {
	two := append(heartbeatReply(1, 0), heartbeatReply(2, 0)...)
	for name, bad := range map[string][]byte{
		"wrong correlation id": heartbeatReply(2, 0),
		"over the limit":       {0, 0, rigLimit >> 8, rigLimit&0xff + 1},
		"negative size":        {0xff, 0xff, 0xff, 0xff},
		"short frame":          {0, 0, 0, 2, 0, 0},
		"bad header":           {0, 0, 0, 5, 0, 0, 0, 1, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := connected(t)
				for _, g := range []string{"a", "b", "c"} {
					r.send(g)
					r.read()
				}
				r.write(bad)
				r.broken(true, "a", "b", "c")
				r.after()
			})
		})
	}
	t.Run("within the limit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := connected(t)
			r.send("a")
			r.read()
			frame := append([]byte{0, 0, rigLimit >> 8, rigLimit & 0xff}, heartbeatReply(1, 0)[4:]...)
			r.write(append(frame, bytes.Repeat([]byte{0}, rigLimit+4-len(frame))...))
			if e := r.once("a")[0]; e.err != nil {
				t.Error(e.err)
			}
		})
	})
	t.Run("without a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := connected(t)
			r.send("a")
			r.read()
			r.write(two)
			if e := r.once("a")[0]; e.err != nil {
				t.Error(e.err)
			}
			r.after()
		})
	})
	for name, cut := range map[string]int{"closed": 0, "closed inside of a frame": 7} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := connected(t)
				r.send("a")
				r.read()
				if cut > 0 {
					r.write(two[:cut])
				}
				_ = r.far.Close()
				r.broken(true, "a")
				r.after()
			})
		})
	}
}

// after checks a link that is broken: closed, told to its owner once, and refusing more.
func (r *rig) after() {
	r.t.Helper()
	synctest.Wait()
	if !r.link.broken() || r.link.cause() == nil {
		r.t.Error("the link is not broken")
	}
	if _, err := r.near.Conn.Write([]byte{1}); err == nil {
		r.t.Error("the connection is open")
	}
	r.send("late")
	r.broken(false, "late")
	r.link.fail(errors.New("again"))
	if n := r.ends.Load(); n != 1 {
		r.t.Errorf("the owner was told %d times", n)
	}
}

// TestSentIsFalseBeforeTheConnectionIsUp: what no broker can have seen may be sent elsewhere.
func TestSentIsFalseBeforeTheConnectionIsUp(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.send("a")
			r.send("b")
			r.up <- errors.New("refused")
			r.broken(false, "a", "b")
			r.send("late")
			r.broken(false, "late")
		})
	})
	t.Run("broken while it dials", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.send("a")
			_ = r.link.Close()
			r.broken(false, "a")
			r.up <- nil
			synctest.Wait()
			if n, err := r.far.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Error("a connection that came too late is used")
			}
		})
	})
}

// TestEveryCallEndsOnce breaks links while many send.
func TestEveryCallEndsOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := connected(t)
			go func() { // answers some, then breaks
				for corr := int32(1); corr <= 30; corr++ {
					if _, err := kafka.ReadFrame(r.far, rigLimit, nil); err != nil {
						break
					}
					_, _ = r.far.Write(heartbeatReply(corr, 0))
				}
				_ = r.far.Close()
			}()
			var senders sync.WaitGroup
			var groups []string
			for s := range 4 {
				for i := range 20 {
					groups = append(groups, fmt.Sprint(s, "-", i))
				}
				senders.Go(func() {
					for i := range 20 {
						r.send(fmt.Sprint(s, "-", i))
					}
				})
			}
			senders.Wait()
			answered := 0
			for i, e := range r.once(groups...) {
				if e.err == nil {
					answered++
				} else if !errors.Is(e.err, plugin.ErrUnreachable) {
					t.Errorf("%s: %v", groups[i], e.err)
				}
			}
			if answered > 30 {
				t.Errorf("%d of 30 replies answered", answered)
			}
		})
	}
}

// TestOverdue: the head's deadline counts, and none (a JoinGroup waits for others) is never past.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := connected(t)
		now := time.Now()
		if r.link.overdue(now.Add(time.Hour)) {
			t.Error("overdue without a request")
		}
		for _, limit := range []time.Duration{10 * time.Second, 0, 5 * time.Second} {
			c := r.call(limit.String(), kmsg.Heartbeat)
			if limit > 0 {
				c.deadline = now.Add(limit)
			}
			r.link.send(c, true)
			r.read()
		}
		if r.link.overdue(now.Add(10*time.Second)) || !r.link.overdue(now.Add(10*time.Second+1)) {
			t.Error("the head's deadline")
		}
		r.write(heartbeatReply(1, 0))
		synctest.Wait()
		if r.link.overdue(now.Add(time.Hour)) {
			t.Error("overdue without a deadline")
		}
		r.write(heartbeatReply(2, 0))
		synctest.Wait()
		if !r.link.overdue(now.Add(6 * time.Second)) {
			t.Error("the next head's deadline")
		}
	})
}

// TestRepliesThatComeTogetherAreWrittenTogether: the session is corked while more of them are
// buffered.
func TestRepliesThatComeTogetherAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := connected(t)
		s := plugin.NewSession(t.Context(), 1, nil, nil)
		var flushed []int
		s.Flush = func() { flushed = append(flushed, len(r.order)) }
		r.link.session = s
		r.send("a")
		r.send("b")
		r.send("c")
		for range 3 {
			r.read()
		}
		r.write(append(append(heartbeatReply(1, 0), heartbeatReply(2, 0)...), heartbeatReply(3, 0)...))
		r.once("a", "b", "c")
		if !slices.Equal(flushed, []int{3}) || s.Corked() {
			t.Errorf("flushed after %v answers, corked %t", flushed, s.Corked())
		}
		r.send("d")
		r.read()
		r.write(heartbeatReply(4, 0))
		r.once("d")
		if len(flushed) != 1 {
			t.Error("a reply alone was held back")
		}
	})
}
