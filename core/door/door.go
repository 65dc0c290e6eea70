// Package door gets the gateway in at the brokers of a cluster, by TLS and SASL. What can go wrong
// there has kinds of its own: a broker that refuses the gateway lives, and must not be taken for
// one that has died.
package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/trust"
)

// Door is the way in to the brokers of one cluster; the zero Door is open.
type Door struct {
	client     string // id
	files      *trust.Files
	serverName string
	mechanism  sasl.Mechanism

	mu     sync.Mutex
	stamps [3]plugin.Stamp // of what is loaded
	loaded *tls.Config
}

// New returns the door of a cluster, at which the gateway names itself by a client id.
func New(cfg config.Cluster, clientID string) *Door {
	d := &Door{client: clientID}
	if t := cfg.TLS; t != nil {
		d.files, d.serverName = &trust.Files{CA: t.CA, Cert: t.Cert, Key: t.Key}, t.ServerName
	}
	if s := cfg.SASL; s != nil {
		switch s.Mechanism {
		case config.Plain:
			d.mechanism = plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()
		case config.ScramSHA256:
			d.mechanism = scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism()
		case config.ScramSHA512:
			d.mechanism = scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism()
		}
	}
	return d
}

// Guarded reports a door that is not open.
func (d *Door) Guarded() bool { return d.files != nil || d.mechanism != nil }

// ErrShut ends a connection that was closed before a byte came. Who does that may be a load
// balancer without living brokers, so that it says nothing yet.
var ErrShut = errors.New("it closes connections without a word")

// Shut reports an error of a connection that the other end has closed.
func Shut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Enter takes a connection to a broker at an address through TLS and SASL, and returns what Kafka
// is spoken over. Its errors match plugin.ErrNotKafka, plugin.ErrCertificate, plugin.ErrCredentials
// or plugin.ErrUnable, or say nothing of who is at the address. The connection is closed with an
// error, and when ctx ends before it is through.
func (d *Door) Enter(ctx context.Context, conn net.Conn, addr string) (_ net.Conn, err error) {
	if !d.Guarded() {
		return conn, nil
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	given := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer given()
	in := conn
	if d.files != nil {
		if in, err = d.encrypt(ctx, conn, addr); err != nil {
			return nil, fmt.Errorf("%s: %w", addr, err)
		}
	}
	if d.mechanism != nil {
		if err := d.authenticate(ctx, in, addr); err != nil {
			return nil, fmt.Errorf("%s: %w", addr, RefusedByTLS(err))
		}
	}
	if !given() {
		return nil, context.Cause(ctx)
	}
	return in, nil
}

func (d *Door) encrypt(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	cfg, err := d.config()
	if err != nil {
		return nil, fmt.Errorf("%w: tls.%w", plugin.ErrUnable, err)
	}
	cfg = cfg.Clone()
	if cfg.ServerName = d.serverName; cfg.ServerName == "" {
		if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, err
		}
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		if Shut(err) {
			err = ErrShut
		}
		return nil, RefusedByTLS(err)
	}
	return t, nil
}

// config is what connections are made with, read again when its files have changed.
func (d *Door) config() (*tls.Config, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var now [3]plugin.Stamp
	for i, name := range []string{d.files.CA, d.files.Cert, d.files.Key} {
		if name == "" {
			continue
		}
		var err error
		if now[i], err = plugin.StampOf(name); err != nil && d.loaded == nil {
			return nil, &trust.FileError{Setting: []string{"ca", "cert", "key"}[i], Err: err}
		}
	}
	if d.loaded != nil && now == d.stamps {
		return d.loaded, nil
	}
	cfg, err := d.files.Config()
	if err != nil {
		if d.loaded != nil { // it is being written: what was there before is good for another connection
			return d.loaded, nil
		}
		return nil, err
	}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	d.loaded, d.stamps = cfg, now
	return cfg, nil
}

// RefusedByTLS gives errors of TLS their kinds. With TLS 1.3 a broker refuses a client certificate
// only when Enter has let the connection in.
func RefusedByTLS(err error) error {
	var record tls.RecordHeaderError
	var verified *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("%w: it does not speak TLS", plugin.ErrNotKafka)
	case errors.As(err, &verified), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", plugin.ErrCertificate, err)
	case errors.As(err, &op) && op.Op == "remote error": // an alert
		return fmt.Errorf("%w: it says %w", plugin.ErrCertificate, op.Err)
	}
	return err
}

// mostAnswer bounds an answer of SASL, in bytes.
const mostAnswer = 64 << 10

// authenticate is the client's half of SASL (KIP-43, KIP-152).
func (d *Door) authenticate(ctx context.Context, conn net.Conn, addr string) error {
	// A plain listener that gets TLS, or the other way round, closes at the first request.
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, d.mechanism.Name()
	answer, err := d.ask(conn, handshake)
	if err != nil {
		return err
	}
	shaken := answer.(*kmsg.SASLHandshakeResponse)
	switch code := kafka.Code(shaken.ErrorCode); code {
	case 0:
	case kafka.UnsupportedSASLMechanism:
		return fmt.Errorf("%w: it does not offer %s, but %q", plugin.ErrCredentials, handshake.Mechanism, shaken.SupportedMechanisms)
	case kafka.IllegalSASLState:
		return fmt.Errorf("%w: it is a listener without SASL", plugin.ErrNotKafka)
	default:
		return fmt.Errorf("%w: SaslHandshake: %s", plugin.ErrCredentials, code.Name())
	}
	session, say, err := d.mechanism.Authenticate(ctx, addr)
	if err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrCredentials, err)
	}
	for done := false; !done; {
		m := kmsg.NewPtrSASLAuthenticateRequest()
		m.Version, m.SASLAuthBytes = 1, say
		answer, err := d.ask(conn, m)
		if errors.Is(err, ErrShut) {
			return fmt.Errorf("%w: it closes the connection", plugin.ErrCredentials)
		}
		if err != nil {
			return err
		}
		a := answer.(*kmsg.SASLAuthenticateResponse)
		if a.ErrorCode != 0 {
			why := kafka.Code(a.ErrorCode).Name()
			if a.ErrorMessage != nil {
				why = *a.ErrorMessage
			}
			return fmt.Errorf("%w: %s", plugin.ErrCredentials, why)
		}
		if done, say, err = session.Challenge(a.SASLAuthBytes); err != nil {
			return fmt.Errorf("%w: %w", plugin.ErrCredentials, err)
		}
		done = done && len(say) == 0
	}
	return nil
}

// ask sends a request of a version that is not flexible, and reads the answer.
func (d *Door) ask(conn net.Conn, req kmsg.Request) (kmsg.Response, error) {
	out := kafka.AppendRequestHeader([]byte{0, 0, 0, 0}, kafka.Header{Key: kmsg.Key(req.Key()), Version: req.GetVersion(), ClientID: d.client, HasClientID: true})
	out = req.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	_, err := conn.Write(out)
	var head [8]byte // length and correlation id
	read := 0
	if err == nil {
		read, err = io.ReadFull(conn, head[:])
	}
	none := fmt.Errorf("%w: its answer to %s is none", plugin.ErrNotKafka, kmsg.NameForKey(req.Key()))
	switch {
	case Shut(err) && read == 0:
		return nil, ErrShut
	case Shut(err):
		return nil, none
	case err != nil:
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > mostAnswer || binary.BigEndian.Uint32(head[4:]) != 0 {
		return nil, none
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	resp, err := kafka.NewResponseBody(kmsg.Key(req.Key()), req.GetVersion(), body).Peek()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", none, err)
	}
	return resp, nil
}
