package server

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// flushes is an end that knows how many requests were queued when it was flushed last.
type flushes struct {
	noEnd
	queued, flushed atomic.Int32
}

func (f *flushes) Flush(*plugin.Session) { f.flushed.Store(f.queued.Load()) }

// await waits until one request is flushed.
func (f *flushes) await(t *testing.T) {
	t.Helper()
	if !eventually.True(func() bool { return f.flushed.Load() == 1 }) {
		t.Fatal("the first request was never flushed")
	}
}

// sendTogether sends requests in one write.
func (c *client) sendTogether(requests ...kmsg.Request) {
	c.t.Helper()
	var all []byte
	for _, req := range requests {
		c.corr++
		b := kafka.AppendRequestHeader([]byte{0, 0, 0, 0}, kafka.Header{Key: kmsg.Key(req.Key()), Version: req.GetVersion(), CorrelationID: c.corr, ClientID: "test", HasClientID: true})
		b = req.AppendTo(b)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		all = append(all, b...)
	}
	if _, err := c.Write(all); err != nil {
		c.t.Fatal(err)
	}
}

// TestASlowRequestIsFlushed: requests that were read together leave together, also when the first
// of them takes a while until it is queued and the last one leaves on a link of its own.
func TestASlowRequestIsFlushed(t *testing.T) {
	end := &flushes{}
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	_, addr := serveEnd(t, limits(), end, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		if req.Seq == 1 {
			time.Sleep(20 * time.Millisecond) // asks for a coordinator, say
			if req.More {
				end.queued.Add(1)
			} else {
				t.Error("the first request does not know of the second")
			}
		}
		turn.Give(req.Turn())
		<-release
		return ok(req)
	})
	c := dial(t, addr)
	c.sendTogether(heartbeat("g"), heartbeat("g"))
	end.await(t)
	let()
	c.receive(kmsg.Heartbeat, 4)
	c.receive(kmsg.Heartbeat, 4)
}

// TestASessionThatWaitsForMemoryFlushes what it has queued: the memory that it waits for may be its
// own.
func TestASessionThatWaitsForMemoryFlushes(t *testing.T) {
	end := &flushes{}
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	s, addr := serveEnd(t, limits(), end, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		end.queued.Add(1)
		turn.Give(req.Turn())
		<-release
		return ok(req)
	})
	s.memory.mu.Lock()
	s.memory.limit = 1
	s.memory.mu.Unlock()
	c := dial(t, addr)
	c.sendTogether(heartbeat("g"), heartbeat("g"))
	end.await(t)
	let()
	c.receive(kmsg.Heartbeat, 4)
	c.receive(kmsg.Heartbeat, 4)
}
