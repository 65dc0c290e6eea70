package upstream

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestAnAddressOfTheGatewayIsRefused by whatever name it was dialled; the cluster's other addresses
// serve.
func TestAnAddressOfTheGatewayIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	f := newFakes(t, 0)
	c := f.open(0)
	c.self = &Self{ID: "me", Listens: func(a *net.TCPAddr) bool { return a.Port == port }}
	var d net.Dialer
	c.dial = func(ctx context.Context, addr string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}
	if _, err := c.open(t.Context(), "named-otherwise:1"); !errors.Is(err, errLoop) || !errors.Is(err, plugin.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if said := c.Loop(); !strings.Contains(said, "named-otherwise:1") || c.looped() != "" {
		t.Errorf("it says %q, and of the cluster %q", said, c.looped())
	}
	c.self.Listens = func(*net.TCPAddr) bool { return false } // the listener has gone
	c.backoff = map[string]*backoff{}
	conn, err := c.open(t.Context(), "named-otherwise:1")
	if err != nil || c.Loop() != "" {
		t.Errorf("%v, still %q", err, c.Loop())
	}
	_ = conn.Close()
}

// TestAClusterThatLeadsBackIsRefused, and used again when it does not any more.
func TestAClusterThatLeadsBackIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		behind := []string{"other", "me"}
		f.broker(0).set(func(b *broker) {
			b.on = func(a *arrived) bool {
				if a.Key != kmsg.ApiVersions {
					return false
				}
				v := f.versions().(*kmsg.ApiVersionsResponse)
				plugin.TellGateways(v, behind)
				a.answer(v)
				return true
			}
		})
		c := f.open(0)
		c.self = &Self{ID: "me"}
		c.check(t.Context())
		if c.Loop() == "" || c.Reachable() {
			t.Errorf("reachable %t, %q", c.Reachable(), c.Loop())
		}
		e := end(c)
		if _, err := e.exchange(t.Context(), request(session(t, plugin.AnyNode), newest(kmsg.ListGroups)), c, plugin.AnyNode); !errors.Is(err, errLoop) {
			t.Errorf("a session's request: %v", err)
		}
		behind = []string{"other"}
		c.check(t.Context())
		if c.Loop() != "" || !c.Reachable() {
			t.Errorf("reachable %t, %q", c.Reachable(), c.Loop())
		}
	})
}

// TestLinksToAGatewaySayWhereTheyComeFrom: its own path, behind that of the session, so that a
// circle is seen at once.
func TestLinksToAGatewaySayWhereTheyComeFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		c := e.clusters[0]
		c.self = &Self{ID: "me"}
		said := make(chan string, 1)
		f.broker(0).set(func(b *broker) {
			b.on = func(a *arrived) bool {
				if v, ok := a.msg.(*kmsg.ApiVersionsRequest); ok {
					said <- v.ClientSoftwareName + " " + v.ClientSoftwareVersion
				}
				return false
			}
		})
		s := session(t, 0)
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil || len(said) != 0 {
			t.Errorf("a broker is told %d times, %v", len(said), err)
		}
		c.gateways.Store(&[]string{"other"})
		s = session(t, 0)
		software := plugin.Software + " first.second"
		s.Software.Store(&software)
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
			t.Error(err)
		}
		if got := <-said; got != "sluice first.second.me" {
			t.Errorf("a gateway is told %q", got)
		}
	})
}
