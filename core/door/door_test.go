package door_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/door"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/authority"
)

// far is the other end of a connection that TCP has made.
func far(t *testing.T, serve func(net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer func() { _ = l.Close() }()
		if c, err := l.Accept(); err == nil {
			serve(c)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// shakes ends the handshake of TLS, and reads.
func shakes(cfg *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		_, _ = io.Copy(io.Discard, tls.Server(c, cfg))
	}
}

// TestRenewedFilesAreUsed for the next connection, and files that are being written are not.
func TestRenewedFilesAreUsed(t *testing.T) {
	before, after := authority.New(t), authority.New(t)
	ca := before.File("ca.pem")
	d := door.New(config.Cluster{TLS: &config.ClusterTLS{CA: ca}}, "sluice")
	enters := func(a *authority.Authority) error {
		in, err := d.Enter(t.Context(), far(t, shakes(a.Server(false))), "127.0.0.1:9092")
		if err == nil {
			_ = in.Close()
		}
		return err
	}
	if err := enters(before); err != nil {
		t.Fatal(err)
	}
	if err := enters(after); !errors.Is(err, plugin.ErrCertificate) {
		t.Errorf("by another authority: %v", err)
	}
	if err := os.WriteFile(ca, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := enters(before); err != nil {
		t.Errorf("while the file is written: %v", err)
	}
	renewed, err := os.ReadFile(after.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, renewed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := enters(after); err != nil {
		t.Errorf("by the authority of the file: %v", err)
	}
}

// TestEnterEnds with its context, whatever the other end does not say.
func TestEnterEnds(t *testing.T) {
	for name, cfg := range map[string]config.Cluster{
		"TLS":  {TLS: &config.ClusterTLS{}},
		"SASL": {SASL: &config.SASL{Mechanism: config.Plain, Username: "sluice", Password: "open"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		conn := far(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		if _, err := door.New(cfg, "sluice").Enter(ctx, conn, "127.0.0.1:9092"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := conn.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the connection is not closed: %v", name, err)
		}
	}
}

// TestAnswersOfSASLAreBounded: what is no answer, or says that it is a long one, is refused before
// it is read.
func TestAnswersOfSASLAreBounded(t *testing.T) {
	d := door.New(config.Cluster{SASL: &config.SASL{Mechanism: config.Plain, Username: "sluice", Password: "open"}}, "sluice")
	for _, said := range []string{
		"\x7f\xff\xff\xff\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x0c\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff", "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		conn := far(t, func(c net.Conn) { _, _ = io.WriteString(c, said); _, _ = io.Copy(io.Discard, c) })
		if _, err := d.Enter(t.Context(), conn, "127.0.0.1:9092"); !errors.Is(err, plugin.ErrNotKafka) {
			t.Errorf("%q: %v", said, err)
		}
	}
}
