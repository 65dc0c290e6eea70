package routing

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// shares keeps what the home of a topic knows of share groups in step with where the topic lives.
//
// The catalog has, for a group and a topic, the generation whose home has the group's state, and
// where it starts there, as that home said last. Before the first records of another generation are
// asked for, the new home is told to start where the old one does.
type shares struct {
	*Routing
	below   func(key kmsg.Key) plugin.Handler
	session *plugin.Session // of requests of its own
	ctx     context.Context
	cancel  context.CancelFunc
	wg      guard.Group
	begun   sync.Once
	open    *openShares

	mu     sync.Mutex
	known  map[catalog.ShareKey]knownShare
	busy   map[catalog.ShareKey]chan struct{} // closed when whoever carries is done
	failed map[catalog.ShareKey]string        // what was logged last

	storing sync.Mutex // one change of what the catalog has at a time
}

// knownShare is a topic whose home has the state of a group.
type knownShare struct {
	topic      [16]byte
	generation int32
	partitions int
}

func newShares(r *Routing) *shares {
	ctx, cancel := context.WithCancel(context.Background())
	open, _ := r.env.Gates.Kept.LoadOrStore(openSharesKey{}, &openShares{all: map[*shareSessions]bool{}})
	return &shares{
		open:    open.(*openShares),
		Routing: r, ctx: ctx, cancel: cancel, session: plugin.NewSession(ctx, 0, nil, nil),
		known: map[catalog.ShareKey]knownShare{}, busy: map[catalog.ShareKey]chan struct{}{}, failed: map[catalog.ShareKey]string{},
	}
}

func (s *shares) close() error {
	s.mu.Lock() // nothing begins any more
	s.cancel()
	s.mu.Unlock()
	s.wg.Wait()
	return s.session.Close()
}

// ask sends a request of the gateway's own down the chain, in the names and offsets of clients.
func (s *shares) ask(ctx context.Context, cluster string, node int32, m kmsg.Request) (kmsg.Response, error) {
	key := kmsg.Key(m.Key())
	api, _ := kafka.Lookup(key)
	version := api.MaxVersion
	if v := s.env.Cluster(cluster).Topology().Versions; v != nil {
		for _, k := range v.ApiKeys {
			if k.ApiKey == m.Key() {
				version = min(version, k.MaxVersion)
			}
		}
	}
	m.SetVersion(version)
	req := &plugin.Request{Body: kafka.RequestBodyOf(m), Session: s.session, Arrived: time.Now(), Target: plugin.Target{Cluster: cluster, Node: node}}
	req.Key, req.Version, req.ClientID, req.HasClientID = key, version, "sluice", true
	resp, err := plugin.Protect(ctx, req, s.below(key))
	if err != nil {
		return nil, err
	}
	return resp.Body.Edit()
}

// ready makes sure that a topic's home knows where a group is in it, for which the request waits so
// long after its arrival. It reports whether the home knows.
func (s *shares) ready(ctx context.Context, req *plugin.Request, group string, t *catalog.Topic, wait time.Duration) bool {
	if len(s.env.Clusters) == 1 || s.is(catalog.ShareKey{Group: group, Topic: t.Name}, t) {
		return true
	}
	defer req.Pause("the start offsets of the share group are being taken to the topic's home", trace.SpanContext{})()
	ctx, cancel := context.WithDeadline(ctx, req.Arrived.Add(wait))
	defer cancel()
	key := catalog.ShareKey{Group: group, Topic: t.Name}
	select {
	case <-s.make(key):
	case <-ctx.Done():
	}
	return s.is(key, t)
}

// limit is how long a request may wait.
func (s *shares) limit() time.Duration {
	if d := s.env.Timing.Request; d > 0 {
		return d
	}
	return 15 * time.Second
}

// is reports that nothing has to be done.
func (s *shares) is(key catalog.ShareKey, t *catalog.Topic) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[key] == knownShare{t.ID, t.Generation, len(t.Partitions)}
}

// make carries the group's state to the topic's home, one at a time for each group and topic,
// whatever becomes of the request that needs it. It returns a channel that is closed at the end.
func (s *shares) make(key catalog.ShareKey) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done := s.busy[key]; done != nil {
		return done
	}
	done := make(chan struct{})
	if s.ctx.Err() != nil {
		close(done)
		return done
	}
	s.busy[key] = done
	s.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.busy, key)
			s.mu.Unlock()
			close(done)
		}()
		ctx, cancel := context.WithTimeout(s.ctx, s.limit())
		defer cancel()
		if t := s.env.Catalog.Topic(key.Topic); t != nil && t.Before == nil && !s.is(key, t) {
			s.note(key, t, s.carry(ctx, key, t))
		}
	})
	return done
}

// mostShares is of how many groups and topics it is remembered that nothing has to be done.
const mostShares = 10_000

// note keeps what came of it.
func (s *shares) note(key catalog.ShareKey, t *catalog.Topic, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= mostShares { // which clients may have made up
		clear(s.known)
	}
	if len(s.failed) >= mostShares {
		clear(s.failed)
	}
	if err == nil {
		s.known[key] = knownShare{t.ID, t.Generation, len(t.Partitions)}
		delete(s.failed, key)
		return
	}
	if why := err.Error(); s.failed[key] != why && !errors.Is(err, errNoMember) {
		s.failed[key] = why
		s.log.Warn("a share group waits: its start offsets could not be taken to the topic's home", "group", key.Group, "topic", key.Topic, "cluster", t.Home, "error", err)
	}
}

// forget forgets a group's place in a topic.
func (s *shares) forget(ctx context.Context, key catalog.ShareKey) error {
	s.mu.Lock()
	delete(s.known, key)
	delete(s.failed, key)
	s.mu.Unlock()
	return s.store(ctx, key, nil)
}

// told notes that a topic's home knows where a group is.
func (s *shares) told(ctx context.Context, key catalog.ShareKey, t *catalog.Topic, at *catalog.Share) error {
	err := s.store(ctx, key, at)
	if err == nil {
		s.note(key, t, nil)
	}
	return err
}

// deleted notes that a topic's home has forgotten where a group is. No earlier home is asked.
func (s *shares) deleted(ctx context.Context, key catalog.ShareKey, t *catalog.Topic) error {
	s.mu.Lock()
	delete(s.known, key)
	s.mu.Unlock()
	return s.store(ctx, key, &catalog.Share{Topic: t.ID, Generation: t.Generation, Home: t.Home})
}

// carry has the topic's home start where the group is.
func (s *shares) carry(ctx context.Context, key catalog.ShareKey, t *catalog.Topic) error {
	was, ok, err := s.env.Catalog.Share(key)
	if err != nil {
		return err
	}
	own := t.Home == s.groupHome(key.Group)
	if ok = ok && was.Topic == t.ID; !ok {
		was = catalog.Share{Home: before(t)}
	}
	now := &catalog.Share{Topic: t.ID, Generation: t.Generation, Home: t.Home, Partitions: len(t.Partitions), Starts: was.Starts}
	switch {
	case ok && was.Generation == t.Generation && (own || was.Partitions >= len(t.Partitions)):
		return nil
	case ok && was.Generation == t.Generation: // the topic has grown
		err = s.introduce(ctx, key, t)
	case ok && was.Home == t.Home: // it was away, and nobody has consumed there
	default:
		if starts := s.startsAt(ctx, was.Home, key, t); starts != nil {
			now.Starts = starts
		}
		if begun := slices.ContainsFunc(now.Starts, func(at int64) bool { return at >= 0 }); !begun {
			if own {
				return nil // its coordinator makes what there is not, and the mirror stores it
			}
			if members, err := s.members(ctx, s.groupHome(key.Group), key.Group); err != nil || len(members) == 0 {
				return cmp.Or(err, errNoMember)
			}
		}
		if err := s.configure(ctx, key.Group, t.Home); err != nil { // whoever can be asked decides
			s.log.WarnContext(ctx, "the home of a topic does not have the configuration of a share group", "group", key.Group, "topic", key.Topic, "cluster", t.Home, "error", err)
		}
		err = s.start(ctx, key, t, now.Starts)
	}
	if err != nil {
		return err
	}
	return s.store(ctx, key, now)
}

// errNoMember is a group that the gateway does not make known to another cluster.
var errNoMember = errors.New("the group has no members")

// store stores where a group is in a topic; nil forgets it.
func (s *shares) store(ctx context.Context, key catalog.ShareKey, at *catalog.Share) error {
	s.storing.Lock()
	defer s.storing.Unlock()
	return s.env.Catalog.KeepShares(ctx, map[catalog.ShareKey]*catalog.Share{key: at})
}

// before is the home that a topic had before this one; "" if it had none.
func before(t *catalog.Topic) string {
	if len(t.Partitions) == 0 || len(t.Partitions[0].Segments) < 2 {
		return ""
	}
	s := t.Partitions[0].Segments
	return s[len(s)-2].Cluster
}

// startsAt asks an old home of a topic where a group starts; nil if it can't tell.
func (s *shares) startsAt(ctx context.Context, cluster string, key catalog.ShareKey, t *catalog.Topic) []int64 {
	c := s.env.Cluster(cluster)
	if c == nil || cluster == t.Home || !c.Reachable() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, oldHomeAnswers)
	defer cancel()
	there, err := s.describe(ctx, cluster, key.Group, []string{key.Topic})
	if err != nil || there[key.Topic] == nil {
		return nil
	}
	starts := make([]int64, len(t.Partitions))
	for p := range starts {
		starts[p] = -1
		at, ok := there[key.Topic][int32(p)]
		copied, known := t.Partitions[p].Copies[cluster]
		switch {
		case !ok || at.offset < 0:
		case at.done: // with all that the old home has
			starts[p] = t.Partitions[p].Current().Start
		case !known:
			return nil // what was stored is of the log that clients know
		default: // clients are not told offsets of the old home any more: these are its own
			starts[p] = max(copied.Distance.ToVirtual(at.offset), t.Partitions[p].LogStart)
		}
	}
	return starts
}

// oldHomeAnswers is how long an old home is waited for that may be about to die.
const oldHomeAnswers = 3 * time.Second

// start has the topic's home start where the group is. What nobody has said, the home decides, as
// it does for a group that is new: the group's own coordinator by itself, another one when it is
// shown a member.
func (s *shares) start(ctx context.Context, key catalog.ShareKey, t *catalog.Topic, starts []int64) error {
	m := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	m.GroupID = key.Group
	rt := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	rt.Topic = key.Topic
	for p, at := range starts {
		if at >= 0 && p < len(t.Partitions) {
			rt.Partitions = append(rt.Partitions, kmsg.AlterShareGroupOffsetsRequestTopicPartition{Partition: int32(p), StartOffset: at})
		}
	}
	if t.Home != s.groupHome(key.Group) && len(rt.Partitions) < len(t.Partitions) {
		if err := s.introduce(ctx, key, t); err != nil {
			return err
		}
	}
	if len(rt.Partitions) == 0 {
		return nil
	}
	m.Topics = append(m.Topics, rt)
	s.hangUp(ctx, key.Group, t.Home)
	err := s.untilEmpty(ctx, t.Home, key.Group, func() (kafka.Code, error) { return s.alter(ctx, t.Home, m) })
	if err == nil {
		s.log.InfoContext(ctx, "share group carried", "group", key.Group, "topic", key.Topic, "cluster", t.Home, "starts", starts)
	}
	return err
}
