package server

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// TestMemory: sessions wait past the bound until others are answered, or the bound is raised.
func TestMemory(t *testing.T) {
	for name, relief := range map[string]func(m *Memory){
		"answered": func(m *Memory) { m.Done(60) },
		"raised":   func(m *Memory) { m.SetLimit(200) },
		"lifted":   func(m *Memory) { m.SetLimit(0) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(100)
			m.Add(150)
			passed := make(chan error, 1)
			go func() { passed <- m.Wait(t.Context(), func() {}) }()
			synctest.Wait()
			if len(passed) != 0 {
				t.Errorf("%s: passed with %d of 100 bytes", name, m.Used())
			}
			m.SetLimit(120) // still too little
			synctest.Wait()
			if len(passed) != 0 {
				t.Errorf("%s: passed with %d of 120 bytes", name, m.Used())
			}
			relief(m)
			synctest.Wait()
			if len(passed) != 1 {
				t.Fatalf("%s: still waits", name)
			}
			if err := <-passed; err != nil {
				t.Error(err)
			}
			m.Add(1000)
			m.SetLimit(1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { passed <- m.Wait(ctx, func() {}) }()
			cancel()
			if err := <-passed; err == nil {
				t.Errorf("%s: passed after the end of its session", name)
			}
		})
	}
}

// TestMemoryStopsReading: past the bound of the process, a session that has requests in flight
// reads no more, one that has none does.
func TestMemoryStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		started := make(chan kmsg.Key, 10)
		s := running(t, limits(), noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			turn.Give(req.Turn())
			started <- req.Key
			if req.Key == kmsg.Produce {
				<-release
			}
			return ok(req)
		})
		s.memory.limit = 1000
		c, other := connect(t, s), connect(t, s)
		p := kmsg.NewPtrProduceRequest()
		p.SetVersion(9)
		p.Acks = 1
		topic := kmsg.NewProduceRequestTopic()
		part := kmsg.NewProduceRequestTopicPartition()
		part.Records = bytes.Repeat([]byte{1}, 2000)
		topic.Partitions = append(topic.Partitions, part)
		p.Topics = append(p.Topics, topic)
		c.send(p)
		<-started
		go c.send(p)
		other.send(heartbeat("g"))
		if k := <-started; k != kmsg.Heartbeat {
			t.Errorf("%s ran past the bound", kmsg.NameForKey(int16(k)))
		}
		other.receive(kmsg.Heartbeat, 4)
		synctest.Wait()
		if len(started) > 0 {
			t.Error("a second produce of 2,000 bytes was read while one is held and the bound is 1,000")
		}
		close(release)
		c.receive(kmsg.Produce, 9)
		c.receive(kmsg.Produce, 9)
		synctest.Wait()
		if s.memory.Used() != 0 {
			t.Errorf("%d bytes are still counted", s.memory.Used())
		}
	})
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !eventually.True(holds) {
		t.Fatalf("waited in vain until %s", what)
	}
}
