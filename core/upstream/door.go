package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/door"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// What is at the door of a cluster that does not answer as it should: nobody (it can't be connected
// to, or is silent), somebody who speaks something else, or, for all that can be told, anybody.

// stranger marks the end of a connection by something that lives and does not speak Kafka as it
// should: bytes that are no answer, or a close in order after an answer. Who closes without a byte
// may be a load balancer without living brokers, so that this says nothing yet: see knock. A reset
// is what dying processes leave behind.
func stranger(err error, heard bool) error {
	var size *kafka.FrameSizeError
	switch {
	case !heard && door.Shut(err):
		return door.ErrShut
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it closes the connection after an answer", plugin.ErrNotKafka)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &size), errors.Is(err, errNoAnswer):
		return fmt.Errorf("%w: %w", plugin.ErrNotKafka, err)
	}
	return door.RefusedByTLS(err)
}

// knock asks addresses that close connections without a word in the two ways to which what wants
// TLS or SASL replies. A load balancer without brokers replies to neither.
func (c *Cluster) knock(ctx context.Context) error {
	hello := kafka.AppendRequestHeader([]byte{0, 0, 0, 0}, kafka.Header{Key: kmsg.ApiVersions, ClientID: clientID, HasClientID: true})
	binary.BigEndian.PutUint32(hello, uint32(len(hello)-4))
	for _, addr := range c.addresses(plugin.AnyNode) {
		for _, say := range []func(net.Conn){
			func(conn net.Conn) { _, _ = conn.Write(hello); _, _ = conn.Read(make([]byte, 1)) },
			func(conn net.Conn) {
				_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) //nolint:gosec // nothing is said over it
			},
		} {
			conn, err := c.dial(ctx, addr)
			if err != nil {
				break
			}
			l := &listening{Conn: conn}
			_ = conn.SetDeadline(time.Now().Add(healthTimeout / 2))
			say(l)
			_ = conn.Close()
			if l.heard {
				return fmt.Errorf("%w: it replies to who asks in another way, for TLS, for SASL or for neither", plugin.ErrNotKafka)
			}
		}
	}
	return nil
}

// listening notes that something came in.
type listening struct {
	net.Conn
	heard bool
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.heard = l.heard || n > 0
	return n, err
}

// errNoAnswer says that a frame is not the answer that is due.
var errNoAnswer = errors.New("not the answer that is due")

// unable reports an error of this machine: it says nothing of the other end.
func unable(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) && !dns.IsNotFound {
		return true
	}
	for _, own := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.ENETDOWN, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	return errors.Is(err, os.ErrPermission)
}

// Trouble is what the last health check failed with; nil for a cluster that answered it.
func (c *Cluster) Trouble() error {
	if c.reachable.Load() {
		return nil
	}
	if loop := c.Loop(); loop != "" { // somebody answers
		return fmt.Errorf("%w: %s", plugin.ErrNotKafka, loop)
	}
	if err := c.trouble.Load(); err != nil {
		return *err
	}
	return plugin.ErrUnreachable
}

// speaks reports that something has come in on a link since a time.
func (l *link) speaks(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reader != nil && !l.reader.Heard().Before(since)
}
