// Package fakes has clusters in memory that answer at once what moves and comparisons of copies
// ask, so that a test with a fake clock decides how long everything takes, and a virtual cluster
// over two of them.
package fakes

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	outOfRange = 1 // Kafka's error codes
	notLeader  = 6
	noTopic    = 3
)

// Cluster is a cluster of two brokers in memory. It answers what a move asks as brokers would,
// without waiting. Set changes it while somebody may ask.
type Cluster struct {
	name string

	Mu   sync.Mutex
	Down bool
	// Why is what Trouble says if it is down; nil is that it can't be reached.
	Why    error
	Topo   *plugin.Topology
	Topics map[string]*Topic
	Groups map[string]map[int32]int64 // offsets committed for "orders", by group
	// Coordinates is the node that coordinates all groups.
	Coordinates int32
	// Orphan is a group whose coordinator has died, and has no successor.
	Orphan string
	Before func(kmsg.Request) // called before a request is answered
	Asked  map[kmsg.Key]int   // how often
	Broken int                // calls of BreakLinks
	// Refreshed counts how often all metadata was asked for.
	Refreshed int
	Listed    []int32 // the brokers that the cluster names
	// Keeps is what DeleteRecords is refused with.
	Keeps int16
	// Refuses is what a produce is refused with, and why.
	Refuses int16
	Because string
	// Allowed is what a Metadata response calls authorized operations.
	Allowed int32
}

// Topic is one that a cluster has.
type Topic struct {
	Logs    []*Log
	Made    byte // how often it was made again
	Configs map[string]string
}

// NewCluster returns a cluster without topics.
func NewCluster(name string) *Cluster {
	f := &Cluster{name: name, Listed: []int32{0, 1}, Allowed: math.MinInt32, Topics: map[string]*Topic{}, Groups: map[string]map[int32]int64{}, Asked: map[kmsg.Key]int{}}
	f.Topo = &plugin.Topology{}
	return f
}

// Topic makes a topic of n partitions and returns their logs.
func (f *Cluster) Topic(name string, n int) []*Log {
	f.fill(n, name)
	return f.Topics[name].Logs
}

// fill makes topics of n partitions.
func (f *Cluster) fill(n int, names ...string) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, name := range names {
		t := &Topic{Configs: map[string]string{"max.message.bytes": "1048588", "message.timestamp.type": "CreateTime"}}
		for range n {
			t.Logs = append(t.Logs, &Log{Epoch: 7})
		}
		f.Topics[name] = t
	}
	f.Topo = f.View()
}

// View is what it would say of itself now; Topology is what it has said.
func (f *Cluster) View() *plugin.Topology {
	topo := &plugin.Topology{
		ClusterID: f.name, Brokers: []plugin.Broker{{ID: 0}, {ID: 1}},
		Topics: map[string]*plugin.Topic{}, IDs: map[[16]byte]*plugin.Topic{},
	}
	for name, t := range f.Topics {
		pt := &plugin.Topic{Name: name}
		copy(pt.ID[:], f.name+"/"+name)
		pt.ID[15] += t.Made
		for p, l := range t.Logs {
			pt.Partitions = append(pt.Partitions, plugin.Partition{Leader: int32(p % 2), Epoch: l.Epoch})
		}
		topo.Topics[name], topo.IDs[pt.ID] = pt, pt
	}
	return topo
}

// Set changes the cluster under its lock.
func (f *Cluster) Set(change func()) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	change()
}

// Count is how often it was asked for something.
func (f *Cluster) Count(k kmsg.Key) int {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return f.Asked[k]
}

// Name is its name.
func (f *Cluster) Name() string { return f.name }

// Slot is always 0.
func (f *Cluster) Slot() int { return 0 }

// Learn takes over what the cluster is like now.
func (f *Cluster) Learn(*kmsg.MetadataResponse) { f.Set(func() { f.Topo = f.View() }) }

// BreakLinks counts.
func (f *Cluster) BreakLinks() { f.Set(func() { f.Broken++ }) }

// Coordinator is node Coordinates of everything.
func (f *Cluster) Coordinator(_ context.Context, _ int8, key string) (int32, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Asked[kmsg.FindCoordinator]++
	if f.Orphan != "" && key == f.Orphan {
		return 0, plugin.ErrUnreachable
	}
	return f.Coordinates, nil
}

// Topology is what it said of itself when it was last asked.
func (f *Cluster) Topology() *plugin.Topology {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return f.Topo
}

// Reachable is false while it is down.
func (f *Cluster) Reachable() bool {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return !f.Down
}

// Trouble is why it is down.
func (f *Cluster) Trouble() error {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if !f.Down {
		return nil
	}
	if f.Why != nil {
		return f.Why
	}
	return plugin.ErrUnreachable
}

// Refresh asks what it has now.
func (f *Cluster) Refresh(ctx context.Context) (*plugin.Topology, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if f.Down {
		return nil, plugin.ErrUnreachable
	}
	f.Refreshed++
	f.Topo = f.View()
	return f.Topo, ctx.Err()
}

// Do answers a request.
func (f *Cluster) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	f.Mu.Lock()
	before := f.Before
	f.Asked[kmsg.Key(req.Key())]++
	f.Mu.Unlock()
	if before != nil {
		before(req)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if f.Down {
		return nil, fmt.Errorf("%s: %w", f.name, plugin.ErrUnreachable)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch r := req.(type) {
	case *kmsg.ListOffsetsRequest:
		return f.listOffsets(node, r), nil
	case *kmsg.FetchRequest:
		return f.fetch(node, r), nil
	case *kmsg.DescribeConfigsRequest:
		resp := kmsg.NewPtrDescribeConfigsResponse()
		for _, res := range r.Resources {
			out := kmsg.NewDescribeConfigsResponseResource()
			out.ResourceName = res.ResourceName
			t := f.Topics[res.ResourceName]
			if t == nil {
				t = &Topic{}
			}
			for k, v := range t.Configs {
				c := kmsg.NewDescribeConfigsResponseResourceConfig()
				c.Name, c.Value = k, &v
				out.Configs = append(out.Configs, c)
			}
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil
	case *kmsg.MetadataRequest:
		resp := kmsg.NewPtrMetadataResponse()
		for _, n := range f.Listed {
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID = n
			resp.Brokers = append(resp.Brokers, b)
		}
		for _, rt := range r.Topics {
			t := kmsg.NewMetadataResponseTopic()
			t.Topic, t.AuthorizedOperations = rt.Topic, f.Allowed
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	case *kmsg.DescribeProducersRequest:
		resp := kmsg.NewPtrDescribeProducersResponse()
		for _, rt := range r.Topics {
			t := kmsg.NewDescribeProducersResponseTopic()
			t.Topic = rt.Topic
			for _, n := range rt.Partitions {
				p := kmsg.NewDescribeProducersResponseTopicPartition()
				p.Partition = n
				var l *Log
				if l, p.ErrorCode = f.find(node, rt.Topic, p.Partition); l != nil {
					p.ActiveProducers = l.Producers
				}
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	case *kmsg.ListTransactionsRequest:
		resp := kmsg.NewPtrListTransactionsResponse()
		if node == 1 { // the coordinator
			x := kmsg.NewListTransactionsResponseTransactionState()
			x.TransactionalID, x.ProducerID = "billing", r.ProducerIDFilters[0]
			resp.TransactionStates = append(resp.TransactionStates, x)
		}
		return resp, nil
	case *kmsg.DeleteRecordsRequest:
		return f.deleteRecords(node, r), nil
	case *kmsg.ProduceRequest:
		return f.produce(node, r), nil
	}
	if resp, err := f.ofGroups(node, req); resp != nil || err != nil {
		return resp, err
	}
	return nil, fmt.Errorf("%s is not asked %T", f.name, req)
}

func (f *Cluster) find(node int32, topic string, p int32) (*Log, int16) {
	t := f.Topics[topic]
	switch {
	case t == nil || int(p) >= len(t.Logs):
		return nil, noTopic
	case node != p%2:
		return nil, notLeader
	}
	return t.Logs[p], 0
}

// produce refuses a batch whose checksum is not its own, as a broker does, after what refuses
// produces to a partition.
func (f *Cluster) produce(node int32, r *kmsg.ProduceRequest) kmsg.Response {
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p.Partition
			_, rp.ErrorCode = f.find(node, t.Topic, p.Partition)
			switch {
			case rp.ErrorCode != 0:
			case f.Refuses != 0:
				rp.ErrorCode, rp.ErrorMessage = f.Refuses, &f.Because
			case kafka.Batch(p.Records).ValidCRC():
				panic("a batch that a broker would append")
			default:
				rp.ErrorCode = kerr.CorruptMessage.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (f *Cluster) deleteRecords(node int32, r *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition = p.Partition
			var l *Log
			switch l, rp.ErrorCode = f.find(node, t.Topic, p.Partition); {
			case rp.ErrorCode != 0:
			case f.Keeps != 0:
				rp.ErrorCode = f.Keeps
			case p.Offset > l.End:
				rp.ErrorCode = outOfRange
			default:
				l.Start = max(l.Start, p.Offset)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (f *Cluster) listOffsets(node int32, r *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition = p.Partition
			var l *Log
			if l, rp.ErrorCode = f.find(node, t.Topic, p.Partition); l != nil {
				rp.Offset = l.since(p.Timestamp)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// Pair makes prod and dr with one topic of one partition.
func Pair() (prod, dr *Cluster, ours, theirs *Log) {
	prod, dr = NewCluster("prod"), NewCluster("dr")
	return prod, dr, prod.Topic("orders", 1)[0], dr.Topic("orders", 1)[0]
}

// Log is a topic's only partition on a cluster.
func (f *Cluster) Log(topic string) *Log { return f.Topics[topic].Logs[0] }

// Grow appends records, as clients and replicators do.
func (f *Cluster) Grow(topic string, first, end int) {
	f.Set(func() { f.Log(topic).Add(Records(first, end)...) })
}
