package server

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestABacklogStaysWithItsClient: of a client that sends produces faster than they are answered a
// few are taken, as a broker does; what is answered in time is not bounded, nor are other requests.
func TestABacklogStaysWithItsClient(t *testing.T) {
	produce := func() kmsg.Request {
		r := kmsg.NewPtrProduceRequest()
		r.Version, r.Acks, r.TimeoutMillis = 9, 1, 1000
		return r
	}
	for name, c := range map[string]struct {
		request func() kmsg.Request
		want    int32
		key     kmsg.Key
		version int16
	}{
		"produces":   {produce, backlogOf, kmsg.Produce, 9},
		"heartbeats": {func() kmsg.Request { return heartbeat("g") }, 20, kmsg.Heartbeat, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var started atomic.Int32
				s := running(t, limits(), noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
					turn.Give(req.Turn())
					started.Add(1)
					<-release
					return ok(req)
				})
				at := connect(t, s)
				at.send(c.request())
				time.Sleep(backlogAfter + time.Millisecond)
				go func() {
					for range 19 {
						at.send(c.request())
					}
				}()
				synctest.Wait()
				if n := started.Load(); n != c.want {
					t.Errorf("%d requests taken, want %d", n, c.want)
				}
				go func() { close(release) }()
				for range 20 {
					at.receive(c.key, c.version)
				}
				if n := started.Load(); n != 20 {
					t.Errorf("%d requests taken in the end", n)
				}
			})
		})
	}
}
