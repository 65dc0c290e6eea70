package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func readFull(r io.Reader, b []byte) bool { _, err := io.ReadFull(r, b); return err == nil }

// TestWhoIsAtTheDoor: what lives and does not speak Kafka in plain text is not taken for dead.
func TestWhoIsAtTheDoor(t *testing.T) {
	says := func(b string) func(net.Conn) {
		return func(far net.Conn) {
			_, _ = io.ReadFull(far, make([]byte, 8)) // some of the request
			_, _ = far.Write([]byte(b))
			_ = far.Close()
		}
	}
	sasl := func(far net.Conn) { // answers ApiVersions, and closes at anything else
		frame, err := kafka.ReadFrame(far, 1<<20, nil)
		if err != nil {
			return
		}
		h, _, err := kafka.ParseHeader(frame, "")
		if err != nil || h.Key != kmsg.ApiVersions {
			return
		}
		v := kmsg.NewPtrApiVersionsResponse()
		v.SetVersion(h.Version)
		v.ApiKeys = append(v.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: 3, MaxVersion: 12})
		o := kafka.NewOut(nil)
		o.BeginFrame()
		o.AppendResponseHeader(h.Key, h.Version, h.CorrelationID)
		o.Append(v.AppendTo(nil))
		o.EndFrame()
		_, _ = far.Write(o.Bytes())
		_, _ = kafka.ReadFrame(far, 1<<20, nil)
	}
	for name, c := range map[string]struct {
		dial error
		far  func(net.Conn)
		want error
	}{
		"TLS alert":                  {far: says("\x15\x03\x03\x00\x02\x02\x28"), want: plugin.ErrNotKafka},
		"HTTP":                       {far: says("HTTP/1.1 400 Bad Request\r\n\r\n"), want: plugin.ErrNotKafka},
		"garbage like a small frame": {far: says("\x00\x00\x00\x08abcdefgh"), want: plugin.ErrNotKafka},
		"half an answer":             {far: says("\x00\x00\x00\x08abc"), want: plugin.ErrNotKafka},
		"closes at once":             {far: func(far net.Conn) { _ = far.Close() }},
		"closes after the request":   {far: says("")},
		"closes but for TLS": {far: func(far net.Conn) {
			if b := make([]byte, 3); !readFull(far, b) || b[0] != 0x16 {
				return
			}
			_, _ = far.Write([]byte("\x15\x03\x03\x00\x02\x02\x28"))
		}, want: plugin.ErrNotKafka},
		"closes after an answer": {far: sasl, want: plugin.ErrNotKafka},
		"half an answer and silence": {far: func(far net.Conn) {
			_, _ = io.ReadFull(far, make([]byte, 8))
			_, _ = far.Write([]byte("\x00\x00\x00\x08abc"))
			_, _ = io.Copy(io.Discard, far)
		}, want: plugin.ErrNotKafka},
		"silence":          {far: func(far net.Conn) { _, _ = io.Copy(io.Discard, far) }},
		"refuses":          {dial: syscall.ECONNREFUSED},
		"no route":         {dial: syscall.EHOSTUNREACH},
		"timeout":          {dial: context.DeadlineExceeded},
		"unknown name":     {dial: &net.DNSError{Err: "no such host", IsNotFound: true}},
		"no descriptors":   {dial: syscall.EMFILE, want: plugin.ErrUnable},
		"no ports":         {dial: syscall.EADDRNOTAVAIL, want: plugin.ErrUnable},
		"no name server":   {dial: &net.DNSError{Err: "server misbehaving", IsTemporary: true}, want: plugin.ErrUnable},
		"forbidden by far": {dial: fmt.Errorf("connect: %w", syscall.ECONNRESET)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, 0)
				cluster := f.open(0)
				cluster.dial = func(context.Context, string) (net.Conn, error) {
					if c.dial != nil {
						return nil, c.dial
					}
					near, far := pipe()
					go func() {
						c.far(far)
						_ = far.Close()
					}()
					return near, nil
				}
				known := *cluster.Topology() // as after a restart, so that it is not asked for versions
				known.Versions = kmsg.NewPtrApiVersionsResponse()
				cluster.topology.Store(&known)
				cluster.start()
				defer func() { _ = cluster.Close() }()
				time.Sleep(10 * time.Second)
				trouble := cluster.Trouble()
				if trouble == nil {
					t.Fatal("reachable")
				}
				for _, kind := range []error{plugin.ErrNotKafka, plugin.ErrUnable} {
					if got := errors.Is(trouble, kind); got != (kind == c.want) { //nolint:errorlint // it is one of the two
						t.Errorf("%q is %v: %t", trouble, kind, got)
					}
				}
			})
		})
	}
}
