package routing

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// pageSize is how many partitions brokers describe in one answer, if nobody has told them
// otherwise.
const pageSize = 2000

// describeTopicPartitions pages through the union of the homes' topics (KIP-966). Clients get the
// topics in the order of their names, as one broker gives them, and a cursor where a limit cuts,
// theirs or a home's.
func (r *Routing) describeTopicPartitions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.DescribeTopicPartitionsRequest)
	names := r.described(m)
	if c := m.Cursor; c != nil && (c.Partition < 0 || len(m.Topics) > 0 && !slices.Contains(names, c.Topic)) {
		return plugin.Fail(req, kafka.InvalidRequest, "")
	}
	pages := map[string]*homePages{}
	for _, n := range names {
		home, _ := r.viewHome(n, [16]byte{})
		if pages[home] == nil {
			pages[home] = &homePages{asked: m, topics: map[string]*kmsg.DescribeTopicPartitionsResponseTopic{}}
		}
		pages[home].names = append(pages[home].names, n)
	}
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range sortedKeys(pages) {
		clusters, bodies = append(clusters, c), append(bodies, kafka.RequestBodyOf(r.firstPage(c, pages[c])))
	}
	_, results := r.fork(ctx, req, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		return nil, pages[f.Target.Cluster].read(ctx, f, next)
	}), clusters, bodies)
	failed := 0
	for i, c := range clusters {
		if results[i].Err == nil {
			continue
		}
		if failed++; failed == len(clusters) {
			return nil, results[i].Err
		}
		pages[c].fail(int16(kafka.LeaderNotAvailable))
	}
	out := m.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	fillPage(out, m, names, pages)
	return plugin.Respond(out), nil
}

// described lists the topics that a request is about, in order, from its cursor on.
func (r *Routing) described(m *kmsg.DescribeTopicPartitionsRequest) []string {
	names := make([]string, 0, len(m.Topics))
	for _, t := range m.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range r.env.Catalog.Topics() {
			if _, shown := r.viewHome(t.Name, t.ID); shown {
				names = append(names, t.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return m.Cursor != nil && n < m.Cursor.Topic })
}

// firstPage asks a home for its topics. The home knows them by other names, and so maybe in another
// order: it can begin at the client's cursor only if that stands before all others there too.
func (r *Routing) firstPage(home string, p *homePages) *kmsg.DescribeTopicPartitionsRequest {
	sub := &kmsg.DescribeTopicPartitionsRequest{Version: p.asked.Version, ResponsePartitionLimit: p.asked.ResponsePartitionLimit}
	physical := func(name string) string {
		_, names := r.names(name)
		return names[home]
	}
	c := p.asked.Cursor
	first := c != nil && p.names[0] == c.Topic
	for i, n := range p.names {
		sub.Topics = append(sub.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
		first = first && (i == 0 || physical(n) > physical(c.Topic))
	}
	if first {
		sub.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: c.Topic, Partition: c.Partition}
	}
	return sub
}

// homePages is what one home has said so far.
type homePages struct {
	asked  *kmsg.DescribeTopicPartitionsRequest
	names  []string // in the order of clients
	topics map[string]*kmsg.DescribeTopicPartitionsResponseTopic
	cursor *kmsg.DescribeTopicPartitionsResponseNextCursor
}

var errNoPage = errors.New("the answer does not go on behind the cursor of the one before")

// read follows the cursors of a home until clients can be given what they asked for.
func (p *homePages) read(ctx context.Context, f *plugin.Request, next plugin.Handler) error {
	if f.Target.Cluster == "" {
		p.fail(int16(kafka.UnknownTopicOrPartition))
		return nil
	}
	for {
		resp, err := next.Handle(ctx, f)
		if err != nil {
			return err
		}
		msg, err := resp.Body.Peek()
		if err != nil {
			return err
		}
		before := p.cursor
		p.add(msg.(*kmsg.DescribeTopicPartitionsResponse))
		switch {
		case p.cursor == nil || p.suffices():
			return nil
		case before != nil && before.Topic == p.cursor.Topic && before.Partition >= p.cursor.Partition:
			return errNoPage
		}
		sub := &kmsg.DescribeTopicPartitionsRequest{Version: p.asked.Version, ResponsePartitionLimit: max(p.asked.ResponsePartitionLimit, pageSize)}
		for _, n := range p.names {
			sub.Topics = append(sub.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
		}
		sub.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: p.cursor.Topic, Partition: p.cursor.Partition}
		target := f.Target
		f = f.With(kafka.RequestBodyOf(sub))
		f.Target = target
	}
}

// add takes over a page, without what stands before the client's cursor.
func (p *homePages) add(m *kmsg.DescribeTopicPartitionsResponse) {
	p.cursor = m.NextCursor
	for i := range m.Topics {
		t := &m.Topics[i]
		if t.Topic == nil {
			continue
		}
		if c := p.asked.Cursor; c != nil && c.Topic == *t.Topic {
			t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool { return p.Partition < c.Partition })
		}
		if known := p.topics[*t.Topic]; known != nil {
			known.Partitions = append(known.Partitions, t.Partitions...)
		} else {
			p.topics[*t.Topic] = t
		}
	}
}

// suffices reports that what comes first for clients is there, up to their limit.
func (p *homePages) suffices() bool {
	n := 0
	for _, name := range p.names {
		t := p.topics[name]
		if t == nil {
			return false
		}
		if n += len(t.Partitions); n >= limit(p.asked) {
			return true
		}
		if p.cursor.Topic == name {
			return false
		}
	}
	return true
}

// fail answers for all topics with a code.
func (p *homePages) fail(code int16) {
	p.cursor = nil
	for _, name := range p.names {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic, t.ErrorCode = &name, code
		p.topics[name] = &t
	}
}

// limit is how many partitions clients want to be told at most. Brokers tell at least one.
func limit(m *kmsg.DescribeTopicPartitionsRequest) int { return max(int(m.ResponsePartitionLimit), 1) }

// fillPage fills an answer with what comes first of the homes' pages, and points a cursor at the
// rest. In a list of all topics those are left out that are gone by now.
func fillPage(out *kmsg.DescribeTopicPartitionsResponse, m *kmsg.DescribeTopicPartitionsRequest, names []string, pages map[string]*homePages) {
	of := map[string]*homePages{}
	for _, p := range pages {
		for _, n := range p.names {
			of[n] = p
		}
	}
	next := func(topic string, partition int32) {
		out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: topic, Partition: partition}
	}
	left := limit(m)
	for _, n := range names {
		p := of[n]
		t := p.topics[n]
		switch {
		case left == 0:
			next(n, 0)
			return
		case t == nil || kafka.Code(t.ErrorCode) == kafka.UnknownTopicOrPartition && len(m.Topics) == 0:
			continue
		}
		slices.SortFunc(t.Partitions, func(a, b kmsg.DescribeTopicPartitionsResponseTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition)
		})
		cut := len(t.Partitions) > left
		if cut {
			next(n, t.Partitions[left].Partition)
			t.Partitions = t.Partitions[:left]
		} else if cut = p.cursor != nil && p.cursor.Topic == n; cut {
			next(n, p.cursor.Partition)
		}
		out.Topics = append(out.Topics, *t)
		if cut {
			return
		}
		left -= len(t.Partitions)
	}
}
