package server

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// piped is a client on a connection in memory.
func piped(t *testing.T, s *Server) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	s.Serve(far, Address{Node: plugin.AnyNode})
	t.Cleanup(func() { _ = near.Close() })
	return near
}

// TestHalfRequestsEndInTime, whether the session waits for an answer or not, and what they claim is
// little, is counted, and is given back.
func TestHalfRequestsEndInTime(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "with a request in flight": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := limits()
				l.FrameBytes, l.IdleTimeout = 100<<20, 10*time.Minute
				hold := make(chan struct{})
				s := running(t, l, noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
					turn.Give(req.Turn())
					<-hold
					return ok(req)
				})
				defer close(hold)
				c := piped(t, s)
				if busy {
					c2 := &client{t: t, Conn: c}
					c2.send(kmsg.NewPtrHeartbeatRequest())
					synctest.Wait()
				}
				before := s.memory.Used()
				_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 100<<20))
				synctest.Wait()
				if n := s.memory.Used() - before; n < 1 || n > 1<<20 {
					t.Errorf("%d bytes are counted", n)
				}
				began := time.Now()
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != halfFrame {
					t.Errorf("%v after %s", err, time.Since(began))
				}
				synctest.Wait()
				if n := s.memory.Used(); n != 0 {
					t.Errorf("%d bytes stay counted", n)
				}
			})
		})
	}
}

// TestLargeRequestsWaitForMemory before they are read, one goes on past the limit, and small ones
// never wait.
func TestLargeRequestsWaitForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits()
		l.FrameBytes = 100 << 20
		s := running(t, l, noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			return ok(req)
		})
		s.memory.SetLimit(4 << 20)
		written := make(chan int, 8)
		for range cap(written) {
			c := piped(t, s)
			go func() {
				_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 50<<20))
				n, _ := c.Write(make([]byte, 20<<20))
				written <- n
			}()
		}
		synctest.Wait()
		if n := s.memory.Used(); n > 4<<20+50<<20+8*freeFrame {
			t.Errorf("%d bytes are taken", n)
		}
		small := &client{t: t, Conn: piped(t, s)}
		small.send(kmsg.NewPtrHeartbeatRequest())
		if _, err := kafka.ReadFrame(small, 1<<20, nil); err != nil {
			t.Errorf("a small request: %v", err)
		}
		for range cap(written) { // all are done for in time
			<-written
		}
	})
}

// TestAHandshakeThatStallsEnds, before it says anything and in the middle.
func TestAHandshakeThatStallsEnds(t *testing.T) {
	for name, said := range map[string][]byte{"silent": nil, "half a record": {22, 3, 1, 2, 0, 1, 0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			s := running(t, limits(), noEnd{}, nil)
			s.tls = func() *tls.Config { return &tls.Config{} }
			c := piped(t, s)
			_, _ = c.Write(said)
			began := time.Now()
			if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(began) > 30*time.Second {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
			synctest.Wait()
			if n := s.Sessions(); n != 0 {
				t.Errorf("%s: %d sessions are left", name, n)
			}
		})
	}
}
