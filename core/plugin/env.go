package plugin

import (
	"context"
	"errors"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// ErrUnreachable says that no broker of a cluster, or not the node asked for, can be reached.
var ErrUnreachable = telemetry.NewError("unreachable", "cluster unreachable")

// Errors of Cluster.Trouble that don't say that a cluster is dead.
var (
	// ErrNotKafka says that somebody lives at its addresses, who does not speak Kafka in the way of
	// the file: it may want TLS or SASL, or none, or stand behind a proxy.
	ErrNotKafka = errors.New("it answers, but not Kafka as `tls` and `sasl` say")
	// ErrCertificate says that a certificate is refused: a broker's by the gateway, or the other
	// way round.
	ErrCertificate = errors.New("certificate refused")
	// ErrCredentials says that brokers do not let the gateway sign in by SASL.
	ErrCredentials = errors.New("credentials refused")
	// ErrUnable says that the gateway's own machine is in no state to find out.
	ErrUnable = errors.New("this machine can't connect to anybody")
)

var alive = []error{ErrNotKafka, ErrCertificate, ErrCredentials, ErrUnable}

// Lives returns the one of those that an error matches; nil of one that may say that a cluster is
// dead.
func Lives(trouble error) error {
	for _, kind := range alive {
		if errors.Is(trouble, kind) {
			return kind
		}
	}
	return nil
}

// Env is what an interceptor is built with.
type Env struct {
	VirtualCluster string
	// Clusters are the clusters of the virtual cluster, in file order.
	Clusters []Cluster
	// Configs are their sections in the file; aliases may change while a cluster stays open.
	Configs []config.Cluster
	Catalog *catalog.Virtual
	Gates   *gate.Gates
	// Groups are the consumer groups; nil: they live where the rules say.
	Groups *groups.Groups
	Nodes  Nodes
	// ProducerIDs hands out gateway producer ids.
	ProducerIDs ProducerIDs
	Timing      config.Failover
	Log         *slog.Logger
	// Starting says that the gateway starts: what an interceptor is made from may have broken while
	// it was down, which must not keep it from serving.
	Starting bool
	// Hide returns an error that shows none of the file's secrets; nil hides nothing.
	Hide func(error) error
}

// Cluster returns a cluster of the virtual cluster by name, or nil.
func (e Env) Cluster(name string) Cluster {
	for _, c := range e.Clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// ProducerIDs hands out producer ids that are never given out again.
type ProducerIDs interface {
	Next(ctx context.Context) (int64, error)
}

// Cluster is a physical cluster, reached over control links: requests that Sluice makes itself
// never travel on a session's link.
type Cluster interface {
	Name() string
	// Slot is the cluster's number in virtual node ids.
	Slot() int
	// Do sends a request to a node, or for AnyNode to the one the api table asks for: any broker or
	// the controller. Errors that mean the cluster or node can't be reached match ErrUnreachable.
	Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error)
	// Coordinator finds a coordinator: kind 0 group, 1 transaction, 2 share.
	Coordinator(ctx context.Context, kind int8, key string) (int32, error)
	// Topology is the last known view; it is never nil and kept over restarts.
	Topology() *Topology
	// Refresh asks the cluster for its metadata now (concurrent calls share one request) and
	// returns the new view.
	Refresh(ctx context.Context) (*Topology, error)
	// Learn adds what a Metadata response of this cluster that passed by says.
	Learn(*kmsg.MetadataResponse)
	// Reachable is what the last health check found.
	Reachable() bool
	// Trouble is what it failed with, nil if it did not. With ErrNotKafka and ErrUnable the cluster
	// may live.
	Trouble() error
}

// LinkBreaker is implemented by a Cluster that sessions have links to.
type LinkBreaker interface {
	// BreakLinks breaks them: a failover has decided that the cluster is gone.
	BreakLinks()
}

// SessionBreaker is implemented by a Cluster that sessions have links to.
type SessionBreaker interface {
	// HangUp breaks the links of one session: brokers forget what they know of its connection.
	HangUp(s *Session)
}

// Nodes maps physical nodes to virtual ones.
type Nodes interface {
	// Virtual returns the virtual id and advertised address of a node. A node outside its
	// cluster's range is presented as the first of it, which forwards.
	Virtual(cluster string, node int32) VirtualNode
	// Physical inverts Virtual.
	Physical(virtual int32) (cluster string, node int32, ok bool)
	// All lists the known nodes of every cluster of the virtual cluster.
	All() []VirtualNode
}

// VirtualNode is a node as clients see it.
type VirtualNode struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

// Topology is an immutable view of a cluster.
type Topology struct {
	ClusterID  string
	Controller int32
	Brokers    []Broker
	Topics     map[string]*Topic
	IDs        map[[16]byte]*Topic
	Versions   *kmsg.ApiVersionsResponse
}

// Broker is a physical node.
type Broker struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

// Topic is a physical topic. Partitions are indexed by number.
type Topic struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Partitions []Partition
}

// Partition is a physical partition; Leader -1 is none.
type Partition struct {
	Leader, Epoch          int32
	Replicas, ISR, Offline []int32
}

// Leader returns the leader of a partition and its epoch, -1 if unknown.
func (t *Topology) Leader(topic string, partition int32) (node, epoch int32) {
	tp, ok := t.Topics[topic]
	if !ok || partition < 0 || int(partition) >= len(tp.Partitions) {
		return -1, -1
	}
	p := tp.Partitions[partition]
	return p.Leader, p.Epoch
}

// Has reports that there is a partition, with or without a leader.
func (t *Topology) Has(topic string, partition int32) bool {
	tp := t.Topics[topic]
	return tp != nil && partition >= 0 && int(partition) < len(tp.Partitions)
}

// MaybeSent reports whether a request that failed with err may have reached its broker.
func MaybeSent(err error) bool {
	var s interface{ MaybeSent() bool }
	return errors.As(err, &s) && s.MaybeSent()
}

// closing is an error that is not answered.
type closing struct{ why error }

func (c *closing) Error() string { return "session closed: " + c.why.Error() }

func (c *closing) Unwrap() error { return c.why }

// CloseSession is the error of an interceptor that wants the session closed, without an answer.
func CloseSession(why error) error { return &closing{why} }

// Closes reports an error that CloseSession made.
func Closes(err error) bool {
	var c *closing
	return errors.As(err, &c)
}

// Settle says that a produce that failed with err is answered, or back in its place: until then no
// later produce of its session is sent, so that none overtakes it.
func Settle(err error) {
	var s interface{ Settle() }
	if errors.As(err, &s) {
		s.Settle()
	}
}
