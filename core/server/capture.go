package server

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Exchange is a request as a client sent it, and the answer that it got; no answer is nil.
type Exchange struct {
	Key               kmsg.Key
	Version           int16
	ClientID          string
	Request, Response []byte
}

// captureLimit bounds the bytes of a capture.
const captureLimit = 32 << 20

// capture collects exchanges.
type capture struct {
	keys kafka.KeySet
	most int

	mu   sync.Mutex
	got  []Exchange
	size int
	full chan struct{} // closed when there is no more to come
}

// Capture collects exchanges of some APIs as they are answered, until there are most of them, or 32
// MiB, or ctx ends. It costs requests nothing while there is none.
func (s *Server) Capture(ctx context.Context, keys kafka.KeySet, most int) []Exchange {
	c := &capture{keys: keys, most: most, full: make(chan struct{})}
	s.setCaptures(func(list []*capture) []*capture { return append(list, c) })
	select {
	case <-c.full:
	case <-ctx.Done():
	}
	s.setCaptures(func(list []*capture) []*capture {
		return slices.DeleteFunc(list, func(x *capture) bool { return x == c })
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

// setCaptures puts another list in the place of the one that requests look at.
func (s *Server) setCaptures(edit func([]*capture) []*capture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*capture
	if now := s.captures.Load(); now != nil {
		list = slices.Clone(*now)
	}
	if list = edit(list); len(list) == 0 {
		s.captures.Store(nil)
		return
	}
	s.captures.Store(&list)
}

// captured shows an exchange to those who collect them, before its answer is queued: from then on
// the memory of both may be used again.
func (s *session) captured(req *plugin.Request, resp *plugin.Response) {
	list := s.server.captures.Load()
	if list == nil {
		return
	}
	for _, c := range *list {
		c.add(req, resp)
	}
}

func (c *capture) add(req *plugin.Request, resp *plugin.Response) {
	if !c.keys.Has(req.Key) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) >= c.most || c.size >= captureLimit {
		return
	}
	x := Exchange{Key: req.Key, Version: req.Version, ClientID: req.ClientID, Request: bytes.Clone(req.Body.Bytes())}
	if resp != nil {
		x.Response = bytes.Clone(resp.Body.Bytes())
	}
	c.got = append(c.got, x)
	if c.size += len(x.Request) + len(x.Response); len(c.got) >= c.most || c.size >= captureLimit {
		close(c.full)
	}
}
