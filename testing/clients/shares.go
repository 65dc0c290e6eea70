package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Share is a share group (KIP-932) and a topic that it consumes, which each story makes.
type Share struct {
	Bootstrap, Topic, Group string
	Partitions              int32
}

// ShareStories are what share consumers rely on, as they would see it of a broker.
var ShareStories = map[string]func(Share, context.Context) error{
	"what is accepted is delivered once":             Share.accepted,
	"what is released is delivered again":            Share.released,
	"what is rejected is not delivered again":        Share.rejected,
	"what is renewed can be accepted later":          Share.renewed,
	"members divide the records":                     Share.divided,
	"what a lost member has is delivered to another": Share.lost,
}

// Create creates the topic.
func (s Share) Create(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap))
	if err != nil {
		return err
	}
	defer cl.Close()
	r, err := kadm.NewClient(cl).CreateTopic(ctx, s.Partitions, -1, nil, s.Topic)
	return errors.Join(err, r.Err)
}

// FromTheStart has a share group begin at the first record.
func (s Share) FromTheStart(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap))
	if err != nil {
		return err
	}
	defer cl.Close()
	earliest := "earliest"
	m := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, s.Group
	r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Op: kmsg.IncrementalAlterConfigOpSet, Value: &earliest}}
	m.Resources = append(m.Resources, r)
	resp, err := m.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, r := range resp.Resources {
		if r.ErrorCode != 0 {
			return fmt.Errorf("the group's configuration: error %d", r.ErrorCode)
		}
	}
	return nil
}

// Produce writes n records, spread over the partitions, and returns their values.
func (s Share) Produce(ctx context.Context, label string, n int) (values []string, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	for i := range n {
		v := fmt.Sprintf("%s-%d", label, i)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: s.Topic, Partition: int32(i) % s.Partitions, Value: []byte(v)}).FirstErr(); err != nil {
			return nil, fmt.Errorf("produce %s: %w", v, err)
		}
		values = append(values, v)
	}
	return values, nil
}

// ShareMember is a member of a share group, with a client of its own.
type ShareMember struct {
	*kgo.Client

	mu     sync.Mutex
	failed []error // acknowledgements
}

// Join adds a member to the group.
func (s Share) Join(opts ...kgo.Opt) (*ShareMember, error) {
	m := &ShareMember{}
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.Bootstrap), kgo.ShareGroup(s.Group), kgo.ConsumeTopics(s.Topic), kgo.FetchMaxWait(200 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.ShareAckCallback(func(_ *kgo.Client, rs kgo.ShareAckResults) {
			if err := rs.Error(); err != nil {
				m.mu.Lock()
				m.failed = append(m.failed, err)
				m.mu.Unlock()
			}
		}),
	}, opts...)...)
	m.Client = cl
	return m, err
}

// Failed are the acknowledgements that were refused.
func (m *ShareMember) Failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.failed...)
}

// Take polls until it has n records, and does with each what do says.
func (m *ShareMember) Take(ctx context.Context, n int, do func(*kgo.Record)) ([]*kgo.Record, error) {
	var out []*kgo.Record
	for len(out) < n {
		f := m.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("%d of %d records: %w", len(out), n, err)
		}
		for _, e := range f.Errors() {
			if !kerr.IsRetriable(e.Err) { // such as of a coordinator that has just begun
				return out, fmt.Errorf("%d of %d records: %w", len(out), n, e.Err)
			}
		}
		f.EachRecord(func(r *kgo.Record) {
			do(r)
			out = append(out, r)
		})
	}
	return out, m.FlushAcks(ctx)
}

func accept(r *kgo.Record) { r.Ack(kgo.AckAccept) }

func valuesOf(records []*kgo.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	slices.Sort(out)
	return out
}

// same says in what two lists of values differ.
func same(what string, got []string, want ...string) error {
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: %d records %q, want %d %q", what, len(got), got, len(want), want)
	}
	return nil
}

// begun makes the topic, with n records, and a group that begins at the first one.
func (s Share) begun(ctx context.Context, n int) ([]string, error) {
	if err := errors.Join(s.Create(ctx), s.FromTheStart(ctx)); err != nil {
		return nil, err
	}
	return s.Produce(ctx, s.Group, n)
}

// joined is begun with a first member.
func (s Share) joined(ctx context.Context, n int) (all []string, m *ShareMember, err error) {
	if all, err = s.begun(ctx, n); err == nil {
		m, err = s.Join()
	}
	return all, m, err
}

// then tells what the next member is given: what was written just now, and what of before comes
// again.
func (s Share) then(ctx context.Context, again ...string) error {
	more, err := s.Produce(ctx, "more", 6)
	if err != nil {
		return err
	}
	m, err := s.Join()
	if err != nil {
		return err
	}
	defer m.Close()
	got, err := m.Take(ctx, len(more)+len(again), accept)
	if err != nil {
		return err
	}
	return errors.Join(same("the next member", valuesOf(got), append(more, again...)...), m.Failed())
}

func (s Share) accepted(ctx context.Context) error {
	all, m, err := s.joined(ctx, 30)
	if err != nil {
		return err
	}
	got, err := m.Take(ctx, len(all), accept)
	m.Close()
	if err = errors.Join(err, same("delivered", valuesOf(got), all...), m.Failed()); err != nil {
		return err
	}
	return s.then(ctx)
}

func (s Share) released(ctx context.Context) error {
	all, m, err := s.joined(ctx, 12)
	if err != nil {
		return err
	}
	defer m.Close()
	var again []*kgo.Record
	if _, err := m.Take(ctx, 2*len(all), func(r *kgo.Record) {
		if r.DeliveryCount() == 1 {
			r.Ack(kgo.AckRelease)
			return
		}
		accept(r)
		again = append(again, r)
	}); err != nil {
		return err
	}
	return errors.Join(same("delivered again", valuesOf(again), all...), m.Failed())
}

func (s Share) rejected(ctx context.Context) error {
	all, m, err := s.joined(ctx, 12)
	if err != nil {
		return err
	}
	_, err = m.Take(ctx, len(all), func(r *kgo.Record) { r.Ack(kgo.AckReject) })
	m.Close()
	if err = errors.Join(err, m.Failed()); err != nil {
		return err
	}
	return s.then(ctx)
}

func (s Share) renewed(ctx context.Context) error {
	all, m, err := s.joined(ctx, 6)
	if err != nil {
		return err
	}
	got, err := m.Take(ctx, len(all), func(r *kgo.Record) { r.Ack(kgo.AckRenew) })
	if err != nil {
		return err
	}
	for _, r := range got {
		accept(r)
	}
	err = m.FlushAcks(ctx)
	m.Close()
	if err = errors.Join(err, same("renewed", valuesOf(got), all...), m.Failed()); err != nil {
		return err
	}
	return s.then(ctx)
}

// divided has three members, who must have everything between them, once.
func (s Share) divided(ctx context.Context) error {
	all, err := s.begun(ctx, 150)
	if err != nil {
		return err
	}
	q, err := s.Consume(ctx, 3)
	if err != nil {
		return err
	}
	defer q.Close()
	more, err := s.Produce(ctx, "more", 150)
	if err != nil {
		return err
	}
	for all = append(all, more...); q.Missing(all) > 0; {
		if !pause(ctx) {
			return fmt.Errorf("%d of %d records are missing: %w", q.Missing(all), len(all), ctx.Err())
		}
	}
	if n := q.Again(all); n > 0 {
		return fmt.Errorf("%d deliveries were not the first ones", n)
	}
	return nil
}

// pause waits a little.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}

// lost has a member go without a word. While the group waits for it, others have its partition too.
func (s Share) lost(ctx context.Context) error {
	s.Partitions = 1
	all, err := s.begun(ctx, 12)
	if err != nil {
		return err
	}
	raw, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap))
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := s.acquire(ctx, raw, len(all)); err != nil {
		return err
	}
	raw.Close() // its connections end
	return s.then(ctx, all...)
}

// acquire takes n records, and acknowledges none.
func (s Share) acquire(ctx context.Context, cl *kgo.Client, n int) error {
	member, epoch := "lost-member", int32(0)
	var id [16]byte
	assigned := false
	for !assigned {
		beat := kmsg.NewPtrShareGroupHeartbeatRequest()
		beat.GroupID, beat.MemberID, beat.MemberEpoch = s.Group, member, epoch
		if epoch == 0 {
			beat.SubscribedTopicNames = []string{s.Topic}
		}
		resp, err := beat.RequestWith(ctx, cl)
		switch {
		case err != nil && !kerr.IsRetriable(err):
			return err
		case err != nil:
		case resp.ErrorCode != 0:
			epoch = 0
		default:
			epoch = resp.MemberEpoch
			assigned = resp.Assignment != nil && len(resp.Assignment.TopicPartitions) == 1
		}
		if assigned {
			id = resp.Assignment.TopicPartitions[0].TopicID
			break
		}
		if !pause(ctx) {
			return ctx.Err()
		}
	}
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &s.Topic
	meta.Topics = append(meta.Topics, mt)
	known, err := meta.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	leaders := map[int32][]int32{}
	for _, p := range known.Topics[0].Partitions {
		leaders[p.Leader] = append(leaders[p.Leader], p.Partition)
	}
	epochs := map[int32]int32{}
	for got := 0; got < n; {
		for node, partitions := range leaders {
			m := kmsg.NewPtrShareFetchRequest()
			m.GroupID, m.MemberID, m.ShareSessionEpoch = &s.Group, &member, epochs[node]
			m.MaxWaitMillis, m.MinBytes, m.MaxBytes, m.MaxRecords, m.BatchSize = 100, 1, 1<<20, 500, 500
			if epochs[node] == 0 {
				t := kmsg.NewShareFetchRequestTopic()
				t.TopicID = id
				for _, p := range partitions {
					t.Partitions = append(t.Partitions, kmsg.ShareFetchRequestTopicPartition{Partition: p, PartitionMaxBytes: 1 << 20})
				}
				m.Topics = append(m.Topics, t)
			}
			resp, err := cl.Broker(int(node)).Request(ctx, m)
			if err != nil {
				return err
			}
			r := resp.(*kmsg.ShareFetchResponse)
			if r.ErrorCode != 0 {
				return fmt.Errorf("ShareFetch: error %d", r.ErrorCode)
			}
			epochs[node]++
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					for _, a := range p.AcquiredRecords {
						got += int(a.LastOffset-a.FirstOffset) + 1
					}
				}
			}
		}
	}
	return nil
}

// Queue is a share group whose members accept what there is.
type Queue struct {
	Share
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	seen map[string]int
}

// Consume lets so many members consume until the queue is closed.
func (s Share) Consume(ctx context.Context, members int) (*Queue, error) {
	q := &Queue{Share: s, seen: map[string]int{}}
	ctx, q.stop = context.WithCancel(ctx)
	for range members {
		m, err := s.Join()
		if err != nil {
			q.Close()
			return nil, err
		}
		q.wg.Go(func() {
			defer m.Close()
			for ctx.Err() == nil {
				m.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					accept(r)
					q.mu.Lock()
					defer q.mu.Unlock()
					q.seen[string(r.Value)]++
				})
			}
		})
	}
	return q, nil
}

// Close lets the members leave.
func (q *Queue) Close() {
	q.stop()
	q.wg.Wait()
}

// Missing is how many of some values have not been delivered.
func (q *Queue) Missing(values []string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, v := range values {
		if q.seen[v] == 0 {
			n++
		}
	}
	return n
}

// Again is how many deliveries of some values were not the first one.
func (q *Queue) Again(values []string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, v := range values {
		n += max(q.seen[v]-1, 0)
	}
	return n
}
