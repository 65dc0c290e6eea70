package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is the log of a catalog in memory, so that a second cluster can be opened with what a first
// one has stored.
type store struct {
	mu      sync.Mutex
	entries []catalog.Entry
}

func (s *store) Append(_ context.Context, entries ...catalog.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, entries...)
	return nil
}

func (s *store) catalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	cat, err := catalog.New(s, slices.Clone(s.entries))
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// fakes are the brokers of a cluster on a network in memory. They answer ApiVersions and Metadata
// from what is said here, and everything else with success, unless a broker's on does something
// else.
type fakes struct {
	t       *testing.T
	brokers []*broker
	store   store

	mu       sync.Mutex
	topics   map[string][]int32 // leaders by partition
	unlisted map[int32]bool     // nodes that the cluster takes for dead
	produce  int16              // highest version of Produce, 0 for kmsg's
	host     string             // what brokers say of their address, "" for that in memory
	port     int32
}

// broker is one node. Its fields are read for every frame.
type broker struct {
	id    int32
	fakes *fakes

	mu     sync.Mutex
	on     func(*arrived) bool // false leaves the request to the default
	down   bool                // refuses connections
	frozen bool                // accepts, never answers
	conns  map[net.Conn]bool
	got    []kmsg.Request // but those that look after the cluster
	asked  int            // Metadata requests
	dials  int
}

// arrived is a request that a broker has read.
type arrived struct {
	kafka.Header
	msg  kmsg.Request
	conn net.Conn
	b    *broker
}

func newFakes(t *testing.T, nodes ...int32) *fakes {
	f := &fakes{t: t, topics: map[string][]int32{}, unlisted: map[int32]bool{}}
	for _, id := range nodes {
		f.brokers = append(f.brokers, &broker{id: id, fakes: f, conns: map[net.Conn]bool{}})
	}
	t.Cleanup(func() {
		for _, b := range f.brokers {
			b.kill()
		}
	})
	return f
}

const hiddenPort = 9999

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func address(id int32) string { return net.JoinHostPort("hidden-"+strconv.Itoa(int(id)), "9999") }

func (f *fakes) broker(id int32) *broker {
	i := slices.IndexFunc(f.brokers, func(b *broker) bool { return b.id == id })
	return f.brokers[i]
}

// dial is Cluster.dial of the network.
func (f *fakes) dial(_ context.Context, addr string) (net.Conn, error) {
	for _, b := range f.brokers {
		if address(b.id) != addr {
			continue
		}
		near, far := pipe()
		if !b.accept(far) {
			break
		}
		go b.serve(far)
		return near, nil
	}
	return nil, errors.New("connection refused")
}

func (b *broker) accept(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials++
	if b.down {
		return false
	}
	b.conns[conn] = true
	return true
}

func (b *broker) serve(conn net.Conn) {
	for {
		frame, err := kafka.ReadFrame(conn, 1<<20, nil)
		if err != nil {
			_ = conn.Close()
			return
		}
		h, body, err := kafka.ParseHeader(frame, "")
		if err != nil {
			b.fakes.t.Errorf("broker %d: %v", b.id, err)
			return
		}
		msg, err := kafka.NewRequestBody(h.Key, h.Version, body).Peek()
		if err != nil {
			b.fakes.t.Errorf("broker %d: %v", b.id, err)
			return
		}
		b.handle(&arrived{Header: h, msg: msg, conn: conn, b: b})
	}
}

func (b *broker) handle(a *arrived) {
	b.mu.Lock()
	switch a.Key {
	case kmsg.ApiVersions, kmsg.FindCoordinator:
	case kmsg.Metadata:
		b.asked++
	default:
		b.got = append(b.got, a.msg)
	}
	on, frozen := b.on, b.frozen
	b.mu.Unlock()
	if frozen || on != nil && on(a) {
		return
	}
	switch m := a.msg.(type) {
	case *kmsg.ApiVersionsRequest:
		a.answer(b.fakes.versions())
	case *kmsg.MetadataRequest:
		a.answer(b.fakes.metadata(m))
	default:
		a.answer(a.msg.ResponseKind())
	}
}

// answer replies to the request.
func (a *arrived) answer(msg kmsg.Response) { a.answerAs(a.CorrelationID, msg) }

func (a *arrived) answerAs(corr int32, msg kmsg.Response) {
	msg.SetVersion(a.Version)
	_, _ = a.conn.Write(reply(a.Key, a.Version, corr, msg)) // the link may be gone
}

// cut closes the connection.
func (a *arrived) cut() bool {
	_ = a.conn.Close()
	return true
}

// reply is the frame of a response.
func reply(key kmsg.Key, version int16, corr int32, msg kmsg.Response) []byte {
	b := kafka.AppendResponseHeader(make([]byte, 4), key, version, corr)
	b = msg.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// set changes the broker under its lock.
func (b *broker) set(change func(*broker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// kill refuses connections and closes those that are open.
func (b *broker) kill() {
	b.set(func(b *broker) {
		b.down = true
		for c := range b.conns {
			_ = c.Close()
		}
		b.conns = map[net.Conn]bool{}
	})
}

// keys lists the APIs of the requests that arrived.
func (b *broker) keys() (out []kmsg.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		out = append(out, kmsg.Key(m.Key()))
	}
	return out
}

func (f *fakes) versions() kmsg.Response {
	r := kmsg.NewPtrApiVersionsResponse()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, api := range kafka.APIs() {
		k := kmsg.NewApiVersionsResponseApiKey()
		if k.ApiKey, k.MaxVersion = int16(api.Key), api.MaxVersion; api.Key == kmsg.Produce && f.produce > 0 {
			k.MaxVersion = f.produce
		}
		r.ApiKeys = append(r.ApiKeys, k)
	}
	return r
}

func (f *fakes) list(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func topicID(name string) (id [16]byte) {
	copy(id[:], "hidden "+name)
	return id
}

func (f *fakes) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := kmsg.NewPtrMetadataResponse()
	r.ClusterID, r.ControllerID = kmsg.StringPtr("hidden-cluster"), f.brokers[0].id
	for _, b := range f.brokers {
		if f.unlisted[b.id] {
			continue
		}
		rb := kmsg.NewMetadataResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.Rack = b.id, "hidden-"+strconv.Itoa(int(b.id)), hiddenPort, kmsg.StringPtr("rack")
		if f.host != "" {
			rb.Host, rb.Port = f.host, f.port
		}
		r.Brokers = append(r.Brokers, rb)
	}
	add := func(name string) {
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic, rt.TopicID = kmsg.StringPtr(name), topicID(name)
		for i, leader := range f.topics[name] {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.LeaderEpoch = int32(i), leader, 5
			p.Replicas, p.ISR = []int32{leader}, []int32{leader}
			rt.Partitions = append(rt.Partitions, p)
		}
		if len(rt.Partitions) == 0 {
			rt.ErrorCode = 3
		}
		r.Topics = append(r.Topics, rt)
	}
	if req.Topics == nil {
		for name := range f.topics {
			add(name)
		}
	}
	for _, t := range req.Topics {
		add(*t.Topic)
	}
	return r
}

// section is the configuration of a cluster whose bootstrap is its first broker.
func (f *fakes) section(name string, slot int) config.Cluster {
	return config.Cluster{Name: name, Slot: slot, Bootstrap: []string{address(f.brokers[0].id)}, Nodes: config.Nodes{First: 0, Last: 999}}
}

// open returns the cluster as NewCluster does, on the network in memory and not watched.
func (f *fakes) open(slot int) *Cluster {
	f.t.Helper()
	c := Unwatched(f.section("prod", slot), f.store.catalog(f.t), &wire.Buffers{})
	c.limit, c.log, c.dial = 1<<20, quiet(), f.dial
	if err := c.recall(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	c.InForce(f.t.Context())
	return c
}

// known returns the cluster with its topology learned and found reachable.
func (f *fakes) known() *Cluster {
	f.t.Helper()
	c := f.open(0)
	c.check(f.t.Context())
	if _, err := c.Refresh(f.t.Context()); err != nil || !c.Reachable() {
		f.t.Fatalf("reachable %t, %v", c.Reachable(), err)
	}
	return c
}

// watched returns the cluster as a gateway has it.
func (f *fakes) watched() *Cluster {
	f.t.Helper()
	c := f.open(0)
	c.start()
	return c
}

func listen() config.Listen {
	return config.Listen{Bootstrap: "gateway:7000", Brokers: config.Brokers{Ports: "7001-9998"}}
}

// end returns the end of a chain over clusters, whose limit is 15 s.
func end(clusters ...*Cluster) *Dispatcher {
	return NewDispatcher("vc", clusters, NewNodeMap(listen(), clusters), 15*time.Second)
}

// session returns a session that dialled a node's address.
func session(t *testing.T, node int32) *plugin.Session {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := plugin.NewSession(ctx, 1, nil, nil)
	s.Cluster, s.Node = "prod", node
	t.Cleanup(func() {
		cancel()
		_ = s.Close()
	})
	return s
}

// request wraps a message as one that the session has just read.
func request(s *plugin.Session, msg kmsg.Request) *plugin.Request {
	key, version := kmsg.Key(msg.Key()), msg.GetVersion()
	return &plugin.Request{
		Header:  kafka.Header{Key: key, Version: version, ClientID: "test", HasClientID: true},
		Body:    kafka.NewRequestBody(key, version, msg.AppendTo(nil)),
		Session: s, Target: plugin.Target{Node: plugin.AnyNode}, Arrived: time.Now(),
	}
}

// newest returns an empty request in the highest version.
func newest(key kmsg.Key) kmsg.Request {
	r := kmsg.RequestForKey(int16(key))
	api, _ := kafka.Lookup(key)
	r.SetVersion(api.MaxVersion)
	return r
}
