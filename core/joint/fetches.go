package joint

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	// ReadsAtOnce bounds the fetches from a cluster that are on their way, or whose records are in
	// use, of ReadBytes each.
	ReadsAtOnce = 8
	// ReadBytes is how many bytes a fetch is answered with, unless one batch is larger.
	ReadBytes = 4 << 20
	// mostReads is how many partitions a joint fetch names.
	mostReads = 200
)

// fetches joins what is read from a cluster at the same time: many partitions in a fetch, and
// several fetches on their way to a broker, so that a cluster far away takes little longer. While
// all may be on their way, who comes waits, and goes with the next one.
type fetches struct {
	ctx     context.Context // ends what is on its way
	wg      *guard.Group
	cluster plugin.Cluster
	slots   chan struct{}

	mu      sync.Mutex
	waiting map[int32][]*fetch // by node
	serving map[int32]int      // goroutines that send them
}

func newFetches(ctx context.Context, wg *guard.Group, c plugin.Cluster) *fetches {
	return &fetches{ctx: ctx, wg: wg, cluster: c, slots: make(chan struct{}, ReadsAtOnce), waiting: map[int32][]*fetch{}, serving: map[int32]int{}}
}

// Wanted is what is asked for: batches of a partition from an offset on, of so many bytes, but one
// at least.
type Wanted struct {
	Topic     string   // by the name that it has on the cluster
	ID        [16]byte // that it has there
	Partition int32
	From      int64
	Most      int32 // bytes
	// Committed asks for what consumers get that read what is committed: nothing from the last
	// stable offset on, and the list of transactions that were aborted.
	Committed bool
}

// Batches are records of a partition as a broker has them, and the aborted transactions among them,
// by ascending first offset, if they were asked for. Nobody may keep them.
type Batches struct {
	Records []byte
	Aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
}

func (w Wanted) place() Place { return Place{w.Topic, w.Partition} }

// fetch is a question that somebody waits for.
type fetch struct {
	Wanted
	batches Batches
	err     error
	done    chan struct{} // closed when it is answered
	used    chan struct{} // closed when nobody waits, or uses the records, any more
}

func newFetch(w Wanted) *fetch {
	return &fetch{Wanted: w, done: make(chan struct{}), used: make(chan struct{})}
}

func (f *fetch) answered() bool { return closed(f.done) }

func (f *fetch) end(batches Batches, err error) {
	f.batches, f.err = batches, err
	close(f.done)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// read asks a node, and gives the batches to use, which may not keep them.
func (r *fetches) read(ctx context.Context, node int32, w Wanted, use func(Batches)) error {
	f := newFetch(w)
	defer close(f.used)
	r.mu.Lock()
	r.waiting[node] = append(r.waiting[node], f)
	serve := r.serving[node] < ReadsAtOnce
	if serve {
		r.serving[node]++
	}
	r.mu.Unlock()
	if serve {
		r.wg.Go(func() { r.serve(node) })
	}
	select {
	case <-f.done:
		return f.give(use)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// give hands on what was answered.
func (f *fetch) give(use func(Batches)) error {
	if f.err == nil {
		use(f.batches)
	}
	return f.err
}

// Read asks a node of a cluster, jointly if the cluster joins requests, and gives the batches to
// use, which may not keep them.
func Read(ctx context.Context, c plugin.Cluster, node int32, w Wanted, use func(Batches)) error {
	if j, ok := c.(*joiner); ok {
		return j.reads.read(ctx, node, w, use)
	}
	return readAlone(ctx, c, node, w, use)
}

// readAlone is read from a cluster of which few fetches are asked that there is nothing to join
// with.
func readAlone(ctx context.Context, c plugin.Cluster, node int32, w Wanted, use func(Batches)) error {
	f := newFetch(w)
	resp, err := c.Do(ctx, node, request([]*fetch{f}))
	if err != nil {
		return err
	}
	answer([]*fetch{f}, resp.(*kmsg.FetchResponse))
	return f.give(use)
}

// serve sends joint fetches to a node until nobody waits.
func (r *fetches) serve(node int32) {
	for {
		r.slots <- struct{}{}
		list := r.take(node)
		if len(list) > 0 {
			r.send(node, list)
		}
		<-r.slots
		if len(list) == 0 {
			return
		}
	}
}

// take are those who wait for a node, as many as fit into a fetch, which names no partition twice.
// If there are none, serve ends.
func (r *fetches) take(node int32) (list []*fetch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var later []*fetch
	named := map[Place]bool{}
	for _, f := range r.waiting[node] {
		switch {
		case closed(f.used): // nobody waits any more
		case len(list) == mostReads || named[f.place()] || len(list) > 0 && f.Committed != list[0].Committed:
			later = append(later, f)
		default:
			named[f.place()] = true
			list = append(list, f)
		}
	}
	r.waiting[node] = later
	if len(list) == 0 {
		delete(r.waiting, node)
		r.serving[node]--
	}
	return list
}

// send sends a joint fetch, answers, and waits until the records are no longer in use.
func (r *fetches) send(node int32, list []*fetch) {
	list = byTopic(list)
	err := guard.Catch(func() {
		resp, err := r.cluster.Do(r.ctx, node, request(list))
		if err == nil {
			answer(list, resp.(*kmsg.FetchResponse))
			return
		}
		for _, f := range list {
			f.end(Batches{}, err)
		}
	})
	var again []*fetch
	for _, f := range list {
		switch {
		case f.answered():
			<-f.used
		case err != nil:
			f.end(Batches{}, err)
		default:
			again = append(again, f)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[node] = append(again, r.waiting[node]...) // first, so that their turn comes
}

// byTopic brings the partitions of a topic together, the first ones first.
func byTopic(list []*fetch) (out []*fetch) {
	var names []string
	of := map[string][]*fetch{}
	for _, f := range list {
		if of[f.Topic] == nil {
			names = append(names, f.Topic)
		}
		of[f.Topic] = append(of[f.Topic], f)
	}
	for _, name := range names {
		out = append(out, of[name]...)
	}
	return out
}

// request is a joint fetch.
func request(list []*fetch) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	if list[0].Committed {
		req.IsolationLevel = 1
	}
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 100, 1, ReadBytes, -1
	for _, f := range list {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != f.Topic {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = f.Topic, f.ID
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes = f.Partition, f.From, -1, -1, -1, f.Most
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return req
}

// answer gives each its part of a joint answer. A broker that has given as many bytes as it may
// leaves the partitions behind them empty: those have no answer yet. One that is empty in front of
// all others has nothing to give.
func answer(list []*fetch, resp *kmsg.FetchResponse) {
	if resp.ErrorCode != 0 {
		for _, f := range list {
			f.end(Batches{}, fmt.Errorf("error %d", resp.ErrorCode))
		}
		return
	}
	parts := partsOf(list, resp)
	full := false
	for _, f := range list {
		p, ok := parts[f.place()]
		switch {
		case !ok:
			f.end(Batches{}, errors.New("the broker has left it out of its answer"))
		case p.ErrorCode != 0:
			f.end(Batches{}, fmt.Errorf("error %d", p.ErrorCode))
		case len(p.RecordBatches) > 0:
			full = true
			f.end(Batches{p.RecordBatches, p.AbortedTransactions}, nil)
		case !full || p.HighWatermark <= f.From || f.Committed && p.LastStableOffset <= f.From:
			f.end(Batches{}, nil)
		}
	}
}

// partsOf finds partitions in an answer, which from version 13 on has ids of topics alone.
func partsOf(list []*fetch, resp *kmsg.FetchResponse) map[Place]kmsg.FetchResponseTopicPartition {
	names := map[[16]byte]string{}
	for _, f := range list {
		names[f.ID] = f.Topic
	}
	out := map[Place]kmsg.FetchResponseTopicPartition{}
	for _, t := range resp.Topics {
		if t.Topic == "" {
			t.Topic = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			out[Place{t.Topic, p.Partition}] = p
		}
	}
	return out
}
