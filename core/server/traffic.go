package server

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// traffic counts the answered requests of a virtual cluster, by API. It only grows: rates are
// differences.
type traffic [kmsg.MaxKey + 1]atomic.Pointer[apiTraffic]

type apiTraffic struct {
	requests, in, out                        atomic.Int64
	latency, gateway, held, upstream, queued telemetry.Latency
	errors                                   sync.Map // kafka.Code -> *atomic.Int64
}

// of makes the counters of an API when it is first asked for.
func (t *traffic) of(key kmsg.Key) *apiTraffic {
	if a := t[key].Load(); a != nil {
		return a
	}
	t[key].CompareAndSwap(nil, &apiTraffic{})
	return t[key].Load()
}

// APITraffic is what was answered of one API since the gateway started.
type APITraffic struct {
	Key      kmsg.Key
	Name     string
	Requests int64
	In, Out  int64 // bytes
	// Latency is from the arrival of a request until its answer is due to be written.
	Latency telemetry.Reading
	// Its parts: in the gateway, for all requests; and of those that were, held for a move, a
	// leader or a cluster, at clusters, and ready while an answer before it was not.
	Gateway, Held, Upstream, Queued telemetry.Reading
	// Errors counts answers by their first error code. Answers that no interceptor looks into are
	// not counted.
	Errors map[kafka.Code]int64
}

// Client is a session as operators see it.
type Client struct {
	ID      uint64
	Address string
	// Name is the client id of its last request.
	Name string
	// Software is what the client says of itself in ApiVersions, name and version with a space
	// between.
	Software string
	// Cluster and Node are what the address stands for that the client dialled; Node is
	// plugin.AnyNode on the bootstrap address.
	Cluster  string
	Node     int32
	Since    time.Time
	InFlight int
	Requests int64
	In, Out  int64 // bytes
}

// counters are what a session counts of itself.
type counters struct {
	since             time.Time
	name              atomic.Pointer[string]
	requests, in, out atomic.Int64
}

// arrives counts a request when it is read.
func (s *session) arrives(h kafka.Header, size int) {
	if h.ClientID != s.clientID || s.count.name.Load() == nil {
		name := h.ClientID // not h, which would be allocated for each request
		s.clientID = name
		s.count.name.Store(&name)
	}
	s.count.requests.Add(1)
	s.count.in.Add(int64(size))
}

// leaves counts a request when its answer, if it has one, is due to be written.
func (s *session) leaves(sl *slot, now time.Time) {
	s.count.out.Add(int64(sl.out))
	s.watched(sl)
	t := s.server.traffic.of(sl.key)
	t.requests.Add(1)
	t.in.Add(int64(sl.size))
	t.out.Add(int64(sl.out))
	took := max(now.Sub(sl.arrived), sl.ready) // it may have become ready while others were answered
	t.latency.Record(took)
	t.gateway.Record(sl.ready - sl.held - sl.upstream)
	if sl.upstream > 0 {
		t.upstream.Record(sl.upstream)
	}
	if sl.held > 0 {
		t.held.Record(sl.held)
	}
	if queued := took - sl.ready; queued > 0 {
		t.queued.Record(queued)
	}
	if sl.code != 0 {
		n, ok := t.errors.Load(sl.code)
		if !ok {
			n, _ = t.errors.LoadOrStore(sl.code, new(atomic.Int64))
		}
		n.(*atomic.Int64).Add(1)
	}
}

// Traffic lists the APIs that were asked for, by key.
func (s *Server) Traffic() []APITraffic {
	var out []APITraffic
	for k := range s.traffic {
		t := s.traffic[k].Load()
		if t == nil {
			continue
		}
		if n := t.requests.Load(); n > 0 {
			a := APITraffic{
				Key: kmsg.Key(k), Name: kmsg.NameForKey(int16(k)), Requests: n, In: t.in.Load(), Out: t.out.Load(),
				Latency: t.latency.Read(), Gateway: t.gateway.Read(), Held: t.held.Read(), Upstream: t.upstream.Read(), Queued: t.queued.Read(),
				Errors: map[kafka.Code]int64{},
			}
			t.errors.Range(func(code, n any) bool {
				a.Errors[code.(kafka.Code)] = n.(*atomic.Int64).Load()
				return true
			})
			out = append(out, a)
		}
	}
	return out
}

// Clients lists the sessions, in no order.
func (s *Server) Clients() []Client {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	out := make([]Client, 0, len(all))
	for _, ss := range all {
		out = append(out, ss.client())
	}
	return out
}

func (s *session) client() Client {
	c := Client{
		ID: s.shared.ID, Address: s.shared.Remote.String(), Since: s.count.since, InFlight: int(s.inFlight.Load()),
		Requests: s.count.requests.Load(), In: s.count.in.Load(), Out: s.count.out.Load(),
	}
	if name := s.count.name.Load(); name != nil {
		c.Name = *name
	}
	if software := s.shared.Software.Load(); software != nil {
		c.Software = *software
	}
	s.mu.Lock() // a TLS handshake may find the node just now
	defer s.mu.Unlock()
	c.Cluster, c.Node = s.shared.Cluster, s.shared.Node
	return c
}
