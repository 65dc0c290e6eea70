package protocol

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// sniffer notes the fetches that a client sends.
type sniffer struct {
	mu      sync.Mutex
	fetches []*kmsg.FetchRequest
}

// sniffed is a connection whose requests are noted.
type sniffed struct {
	net.Conn
	s   *sniffer
	buf []byte
}

func (s *sniffer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &sniffed{Conn: c, s: s}, err
}

func (c *sniffed) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p...)
	for len(c.buf) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(c.buf))
		if len(c.buf) < n {
			break
		}
		c.s.note(append([]byte{}, c.buf[4:n]...))
		c.buf = c.buf[n:]
	}
	return c.Conn.Write(p)
}

func (s *sniffer) note(frame []byte) {
	h, body, err := kafka.ParseHeader(frame, "")
	if err != nil || h.Key != kmsg.Fetch {
		return
	}
	f, err := kafka.NewRequestBody(h.Key, h.Version, body).Peek()
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches = append(s.fetches, f.(*kmsg.FetchRequest))
}

func (s *sniffer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

// named counts the partitions that all fetches name.
func (s *sniffer) named() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetches {
		n += names(f)
	}
	return n
}

// find returns the first fetch, from the n-th on, that a condition holds for, and the number behind
// it.
func (s *sniffer) find(n int, cond func(f *kmsg.FetchRequest) bool) (*kmsg.FetchRequest, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := n; i < len(s.fetches); i++ {
		if cond(s.fetches[i]) {
			return s.fetches[i], i + 1
		}
	}
	return nil, n
}

// names counts the partitions that a fetch names.
func names(f *kmsg.FetchRequest) (n int) {
	for _, t := range f.Topics {
		n += len(t.Partitions)
	}
	return n
}

// String lists the fetches.
func (s *sniffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, f := range s.fetches[:min(len(s.fetches), 20)] {
		fmt.Fprintf(&b, "session %d epoch %d names %d; ", f.SessionID, f.SessionEpoch, names(f))
	}
	return b.String()
}
