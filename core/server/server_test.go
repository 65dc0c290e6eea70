package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeVirtual has one interceptor, which runs what a test says, and an end that fails the test.
type fakeVirtual struct {
	rt *Runtime
}

func (*fakeVirtual) Name() string        { return "vc" }
func (v *fakeVirtual) Acquire() *Runtime { return v.rt }
func (*fakeVirtual) Release(*Runtime)    {}

type everything struct {
	run func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)
}

func (*everything) Keys() plugin.KeySet {
	return kafka.NewKeySet(kmsg.Heartbeat, kmsg.Produce, kmsg.Fetch, kmsg.Metadata, kmsg.JoinGroup)
}
func (e *everything) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return e.run(ctx, req, next)
}

type noEnd struct{}

func (noEnd) Handle(context.Context, *plugin.Request) (*plugin.Response, error) {
	return nil, errors.New("end reached")
}
func (noEnd) Start(_ context.Context, _ *plugin.Request, w *chain.Walk) bool {
	if w.Take() {
		w.Answered(nil, errors.New("end reached"))
	}
	return true
}
func (noEnd) Again(_ *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	return plugin.Answer(resp, err)
}
func (noEnd) Flush(*plugin.Session) {}

func limits() config.Limits {
	return config.Limits{FrameBytes: 1 << 20, SessionInFlight: 100, SessionBytes: 1 << 20}
}

type run = func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)

// serve starts a server whose chain runs f, and dials it.
func serve(t *testing.T, l config.Limits, f run) (*Server, string) {
	t.Helper()
	return serveEnd(t, l, noEnd{}, f)
}

func serveEnd(t *testing.T, l config.Limits, end Dispatcher, f run) (*Server, string) {
	t.Helper()
	s := running(t, l, end, f)
	return s, listen(t, s).Addr().String()
}

// listen opens an address for a server.
func listen(t *testing.T, s *Server) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0", s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	l.Use(func(c net.Conn) { s.Serve(c, Address{Node: plugin.AnyNode}) })
	return l
}

// running is a server that does not listen yet.
func running(t *testing.T, l config.Limits, end Dispatcher, f run) *Server {
	t.Helper()
	chain, err := chain.New([]chain.Named{{Name: "test", Stage: plugin.Logical, Interceptor: &everything{f}}}, end, "")
	if err != nil {
		t.Fatal(err)
	}
	v := &fakeVirtual{&Runtime{Chain: chain, End: end, Limits: l}}
	v.rt.Versions.Store(NewVersions("cluster", func(string, int32) int32 { return 1 << 20 }, nil, chain))
	s := New(v, Options{Pool: &wire.Buffers{}, Memory: NewMemory(0), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

type client struct {
	t *testing.T
	net.Conn
	corr int32
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(eventually.Limit))
	return &client{t: t, Conn: c}
}

// connect is dial without a network, for a fake clock.
func connect(t *testing.T, s *Server) *client {
	t.Helper()
	near, far := net.Pipe()
	s.Serve(far, Address{Node: plugin.AnyNode})
	return &client{t: t, Conn: near}
}

func (c *client) send(req kmsg.Request) int32 {
	c.t.Helper()
	return c.sendCut(req, 0)
}

// sendCut sends a request without its last bytes.
func (c *client) sendCut(req kmsg.Request, less int) int32 {
	c.t.Helper()
	c.corr++
	b := kafka.AppendRequestHeader([]byte{0, 0, 0, 0}, kafka.Header{Key: kmsg.Key(req.Key()), Version: req.GetVersion(), CorrelationID: c.corr, ClientID: "test", HasClientID: true})
	b = req.AppendTo(b)
	b = b[:len(b)-less]
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
	return c.corr
}

func (c *client) receive(key kmsg.Key, version int16) (int32, kmsg.Response) {
	c.t.Helper()
	frame, err := kafka.ReadFrame(c, 1<<20, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	corr, body, err := kafka.ParseResponse(key, version, frame)
	if err != nil {
		c.t.Fatal(err)
	}
	msg, err := kafka.NewResponseBody(key, version, body).Peek()
	if err != nil {
		c.t.Fatal(err)
	}
	return corr, msg
}

func (c *client) ended() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		c.t.Errorf("the session is open: %d bytes, %v", n, err)
	} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Error("the session is still open")
	}
}

func heartbeat(group string) *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.SetVersion(4)
	r.Group = group
	return r
}

func ok(req *plugin.Request) (*plugin.Response, error) { return plugin.Fail(req, 0, "") }

// TestAnswersLeaveInRequestOrder: the first request is answered last.
func TestAnswersLeaveInRequestOrder(t *testing.T) {
	const n = 50
	release := make(chan struct{})
	started := make(chan string, n)
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		msg, err := req.Body.Peek()
		if err != nil {
			return nil, err
		}
		started <- msg.(*kmsg.HeartbeatRequest).Group
		turn.Give(req.Turn())
		if req.Seq == 1 {
			<-release
		}
		return ok(req)
	})
	c := dial(t, addr)
	for range n {
		c.send(heartbeat("g"))
	}
	for range n {
		<-started // all run while the first waits
	}
	close(release)
	for want := int32(1); want <= n; want++ {
		if corr, _ := c.receive(kmsg.Heartbeat, 4); corr != want {
			t.Fatalf("answer %d where %d was due", corr, want)
		}
	}
}

// TestTurnsKeepTheSendOrder: a request starts when the one before it is queued.
func TestTurnsKeepTheSendOrder(t *testing.T) {
	order := make(chan uint64, 200)
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		time.Sleep(time.Duration(req.Seq%3) * time.Millisecond)
		order <- req.Seq
		turn.Give(req.Turn())
		return ok(req)
	})
	c := dial(t, addr)
	for range 60 {
		c.send(heartbeat("g"))
	}
	for want := uint64(1); want <= 60; want++ {
		c.receive(kmsg.Heartbeat, 4)
		if got := <-order; got != want {
			t.Fatalf("request %d was queued where %d was due", got, want)
		}
	}
}

// TestARequestThatKeepsItsTurnEndsWithItsClient: the session that waits for it does not read, and
// sees all the same that the client has gone.
func TestARequestThatKeepsItsTurnEndsWithItsClient(t *testing.T) {
	stuck, ended := make(chan struct{}), make(chan struct{})
	_, addr := serve(t, limits(), func(ctx context.Context, _ *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		close(stuck)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	c := dial(t, addr)
	c.send(kmsg.NewPtrHeartbeatRequest())
	<-stuck
	_ = c.Close()
	select {
	case <-ended:
	case <-time.After(eventually.Limit):
		t.Fatal("the session goes on")
	}
}

// TestAServerEndsWithARequestThatKeepsItsTurn.
func TestAServerEndsWithARequestThatKeepsItsTurn(t *testing.T) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.Run("close", func(t *testing.T) { // closes the server at its end
			stuck := make(chan struct{})
			_, addr := serve(t, limits(), func(ctx context.Context, _ *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
				close(stuck)
				<-ctx.Done()
				return nil, ctx.Err()
			})
			dial(t, addr).send(kmsg.NewPtrHeartbeatRequest())
			<-stuck
		})
	}()
	select {
	case <-ended:
	case <-time.After(eventually.Limit):
		t.Fatal("the server waits")
	}
}

func TestErrorsAndPanicsCostTheirOwnRequest(t *testing.T) {
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		switch req.Seq {
		case 1:
			return nil, errors.New("no")
		case 2:
			panic("boom")
		}
		return ok(req)
	})
	c := dial(t, addr)
	for _, want := range []int16{16, 16, 0} {
		c.send(heartbeat("g"))
		if _, msg := c.receive(kmsg.Heartbeat, 4); msg.(*kmsg.HeartbeatResponse).ErrorCode != want {
			t.Errorf("code %d, want %d", msg.(*kmsg.HeartbeatResponse).ErrorCode, want)
		}
	}
}

func TestBadFramesEndTheirSessionAlone(t *testing.T) {
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		return ok(req)
	})
	good := dial(t, addr)
	for name, frame := range map[string][]byte{
		"TLS hello":       {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"negative size":   {0xff, 0xff, 0xff, 0xff},
		"too large":       {0, 0x20, 0, 0},
		"short header":    {0, 0, 0, 3, 0, 0, 0},
		"unknown API":     {0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"unknown version": {0, 0, 0, 10, 0, 12, 0x7f, 0, 0, 0, 0, 1, 0xff, 0xff},
		"refused API":     {0, 0, 0, 10, 0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
			c.ended()
		})
	}
	good.send(heartbeat("g"))
	good.receive(kmsg.Heartbeat, 4)
}

func TestAcksZeroIsNotAnswered(t *testing.T) {
	fail := make(chan bool, 1)
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		if req.Key == kmsg.Produce {
			select {
			case <-fail:
				return nil, errors.New("no")
			default:
				return nil, nil
			}
		}
		return ok(req)
	})
	c := dial(t, addr)
	p := kmsg.NewPtrProduceRequest()
	p.SetVersion(9)
	c.send(p)
	want := c.send(heartbeat("g"))
	if corr, _ := c.receive(kmsg.Heartbeat, 4); corr != want {
		t.Errorf("answer %d, want %d", corr, want)
	}
	fail <- true
	c.send(p)
	c.ended() // a failed one has no other way to be told
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits()
		l.Connections, l.IdleTimeout, l.SessionInFlight = 2, time.Minute, 3
		release := make(chan struct{})
		var started atomic.Int32
		s := running(t, l, noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			turn.Give(req.Turn())
			started.Add(1)
			<-release
			return ok(req)
		})
		busy, idle := connect(t, s), connect(t, s)
		connect(t, s).ended() // a third connection
		go func() {
			for range 5 {
				busy.send(heartbeat("g"))
			}
		}()
		idle.ended()
		time.Sleep(2 * l.IdleTimeout) // the other one is not idle: answers are due
		if n := started.Load(); n != 3 {
			t.Errorf("%d requests run", n)
		}
		close(release)
		for want := int32(1); want <= 5; want++ {
			if corr, _ := busy.receive(kmsg.Heartbeat, 4); corr != want {
				t.Errorf("answer %d, want %d", corr, want)
			}
		}
	})
}

// TestAnAddressPassesToAnotherServer while sessions of the first go on.
func TestAnAddressPassesToAnotherServer(t *testing.T) {
	answer := func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		return ok(req)
	}
	first, second := running(t, limits(), noEnd{}, answer), running(t, limits(), noEnd{}, answer)
	l := listen(t, first)
	c := dial(t, l.Addr().String())
	c.send(heartbeat("g"))
	c.receive(kmsg.Heartbeat, 4)
	l.Use(func(c net.Conn) { second.Serve(c, Address{Cluster: "prod", Node: 3}) })
	d := dial(t, l.Addr().String())
	d.send(heartbeat("g"))
	d.receive(kmsg.Heartbeat, 4)
	c.send(heartbeat("g"))
	c.receive(kmsg.Heartbeat, 4)
	if n := first.Sessions(); n != 1 {
		t.Errorf("the first server has %d sessions", n)
	}
	if n := second.Sessions(); n != 1 {
		t.Errorf("the second server has %d sessions", n)
	}
}

// TestWhatNobodyUsesAcceptsNobody: who connects waits, and is refused with the listener.
func TestWhatNobodyUsesAcceptsNobody(t *testing.T) {
	s := running(t, limits(), noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		return ok(req)
	})
	l, err := Listen("127.0.0.1:0", s.log)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, l.Addr().String())
	c.send(heartbeat("g"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c.ended()
	if n := s.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}
