package server

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	// mostNames bounds the topics, and the clients, that are counted each.
	mostNames = 1000
	// mostKnown bounds the names of which it is remembered whether they are counted.
	mostKnown = 10_000
	// Others is the name under which those beyond mostNames are counted together.
	Others = "(others)"
)

// Watch says whose traffic is counted apart. A nil Watch counts nobody's, for the price of a
// comparison.
type Watch struct{ topics, clients named }

// NewWatch counts what globs name; nil if there are none.
func NewWatch(topics, clients []string) *Watch {
	if len(topics)+len(clients) == 0 {
		return nil
	}
	return &Watch{named{globs: topics}, named{globs: clients}}
}

// Traffic is what has come and gone of one topic or client.
type Traffic struct {
	Requests int64 // of a client
	In, Out  int64 // bytes: of a client's requests and answers, of a topic's records
}

// counted is a Traffic that is counted.
type counted struct{ requests, in, out atomic.Int64 }

// named remembers which names globs match.
type named struct {
	globs []string

	mu    sync.RWMutex
	known map[string]*counted // nil: it is not counted
}

// countedAs is where a name is counted; nil: nowhere.
func countedAs[T string | []byte](n *named, all *tally, name T) *counted {
	if len(n.globs) == 0 {
		return nil
	}
	n.mu.RLock()
	c, ok := n.known[string(name)]
	n.mu.RUnlock()
	if ok {
		return c
	}
	s := strings.ToValidUTF8(string(name), "\uFFFD") // labels hold nothing else
	if slices.ContainsFunc(n.globs, func(glob string) bool { return config.MatchGlob(glob, s) }) {
		c = all.of(s)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string]*counted{}
	}
	if len(n.known) < mostKnown {
		n.known[string(name)] = c
	}
	return c
}

// tally keeps what is counted, over all runtimes.
type tally struct {
	mu sync.Mutex
	by map[string]*counted
}

func (t *tally) of(name string) *counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]*counted{}
	}
	if c := t.by[name]; c != nil {
		return c
	}
	if len(t.by) >= mostNames {
		name = Others
	}
	c := t.by[name]
	if c == nil {
		c = &counted{}
		t.by[name] = c
	}
	return c
}

func (t *tally) all() map[string]Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]Traffic{}
	for name, c := range t.by {
		out[name] = Traffic{c.requests.Load(), c.in.Load(), c.out.Load()}
	}
	return out
}

// Watched is what was counted of topics and clients that a Watch has named since the start.
func (s *Server) Watched() (topics, clients map[string]Traffic) {
	return s.topics.all(), s.clients.all()
}

// watched counts a request of a client that is answered.
func (s *session) watched(sl *slot) {
	if sl.rt.Watch == nil {
		return
	}
	name := s.count.name.Load()
	if name == nil {
		return
	}
	if c := countedAs(&sl.rt.Watch.clients, &s.server.clients, *name); c != nil {
		c.requests.Add(1)
		c.in.Add(int64(sl.size))
		c.out.Add(int64(sl.out))
	}
}

// watchRecords counts the records of a produce, or those that a fetch is answered with, to their
// topics.
func (s *session) watchRecords(req *plugin.Request, sl *slot, resp *plugin.Response) {
	w := sl.rt.Watch
	if w == nil || len(w.topics.globs) == 0 {
		return
	}
	add := func(name []byte, id [16]byte, in, out int) {
		if in+out == 0 {
			return
		}
		if len(name) == 0 && id != [16]byte{} {
			name = []byte(sl.rt.TopicName(id))
		}
		if c := countedAs(&w.topics, &s.server.topics, name); c != nil {
			c.in.Add(int64(in))
			c.out.Add(int64(out))
		}
	}
	switch {
	case resp == nil:
	case req.Key == kmsg.Produce && resp.Body.ErrorCode() != 0: // of topics that there are not, for one, which would take the places of others
	case req.Key == kmsg.Produce:
		for p := range req.Body.Partitions() {
			add(p.Topic, p.ID, len(p.Records), 0)
		}
	case req.Key == kmsg.Fetch:
		for p := range resp.Body.Partitions() {
			add(p.Topic, p.ID, 0, len(p.Records))
		}
	}
}
