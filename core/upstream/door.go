package upstream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// What is at the door of a cluster that does not answer as it should: nobody (it can't be connected to, or is silent),
// somebody who speaks something else, or, for all that can be told, anybody.

// stranger marks the end of a connection by something that lives and does not speak Kafka in plain text: bytes that are
// no answer, or a close in order in place of one. A load balancer without living brokers may do the latter, too;
// nothing tells it from a cluster that wants TLS. A reset is what dying processes leave behind.
func stranger(err error) error {
	var size *kafka.FrameSizeError
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it closes the connection", plugin.ErrNotKafka)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &size), errors.Is(err, errNoAnswer):
		return fmt.Errorf("%w: %w", plugin.ErrNotKafka, err)
	}
	return err
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
