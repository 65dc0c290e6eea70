package server

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// TestCountingAllocatesNothing in steady state: a client's name is kept when it changes.
func TestCountingAllocatesNothing(t *testing.T) {
	s := &session{server: &Server{}}
	h := kafka.Header{Key: kmsg.Produce, ClientID: "a", HasClientID: true}
	s.arrives(h, 10)
	sl := &slot{key: kmsg.Produce, size: 10, out: 20, arrived: time.Now()}
	if n := testing.AllocsPerRun(100, func() {
		s.arrives(h, 10)
		s.leaves(sl, time.Now())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a := s.server.Traffic()
	if len(a) != 1 || a[0].Name != "Produce" || a[0].Requests != 101 || a[0].In != 1010 || a[0].Out != 2020 {
		t.Errorf("%+v", a)
	}
	if n := s.count.requests.Load(); n != 102 {
		t.Errorf("%d requests of the session", n)
	}
}
