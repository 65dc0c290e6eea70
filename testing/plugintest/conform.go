package plugintest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Conform checks what every interceptor owes, whatever it is for, with requests about a topic of
// the cluster prod: what it is given stays as it was, what leaves it is valid in every version and
// can be sent again, records keep what brokers and consumers count on, errors from below come up as
// errors or answers, also where they concern one partition of many, requests that run at once don't
// meet, and whatever happens to a request, the next one of its session gets its turn. All that
// holds for an interceptor's two halves, if it has them, as for Intercept.
func Conform(t *testing.T, i plugin.Interceptor, topic string) {
	t.Helper()
	c := newConform(t, i, topic)
	c.rows(t)
	if _, ok := i.(plugin.Stepper); ok {
		c.walks = true
		c.rows(t)
	}
	c.atOnce(t)
	if m, ok := i.(plugin.Metered); ok {
		for _, s := range m.Samples() { // of which the gateway puts the virtual cluster in
			if got, want := len(s.Values), len(s.Metric.Labels)-1; got != want {
				t.Errorf("%s has %d values, want %d", s.Metric.Name, got, want)
			}
		}
	}
	if o, ok := i.(plugin.SessionObserver); ok && o.Observes() {
		s := plugin.NewSession(t.Context(), 2, nil, nil)
		if err := o.SessionOpened(t.Context(), s); err != nil {
			t.Errorf("a session is refused: %v", err)
		}
		o.SessionClosed(t.Context(), s)
	}
}

// rows checks every row of the interceptor, in every version.
func (c *conform) rows(t *testing.T) {
	t.Helper()
	i := c.i
	for _, key := range i.Keys().Keys() {
		api, ok := kafka.Lookup(key)
		if !ok {
			t.Errorf("a row %d, which is no API", key)
			continue
		}
		highest := api.MaxVersion
		if l, ok := i.(plugin.VersionLimiter); ok {
			highest = min(highest, l.MaxVersion(int16(key), highest))
		}
		lowest := map[kmsg.Key]int16{kmsg.Produce: 3, kmsg.Fetch: 4}[key] // record batches since then
		for v := lowest; v <= highest; v++ {
			for what, run := range map[string]func(context.Context, kmsg.Key, int16) error{
				"": c.exchange, "below fails: ": c.belowFails, "below panics: ": c.belowPanics, "the client leaves: ": c.left,
				"the request is cut: ": c.cut, "one partition fails: ": c.onePartitionFails,
			} {
				if err := run(t.Context(), key, v); err != nil {
					t.Errorf("%s %d: %s%v", kmsg.NameForKey(int16(key)), v, what, err)
				}
			}
		}
	}
}

type conform struct {
	i       plugin.Interceptor
	topic   string
	batches []kafka.Batch
	chain   *chain.Chain // of the interceptor, above what each run says
	walks   bool         // requests go in two halves
}

func newConform(t *testing.T, i plugin.Interceptor, topic string) *conform {
	t.Helper()
	chain, err := chain.New([]chain.Named{{Name: "conform", Interceptor: i}}, end{}, "")
	if err != nil {
		t.Fatal(err)
	}
	return &conform{i: i, topic: topic, batches: batches(t), chain: chain}
}

// batches are one of every kind: codecs, producers, a marker, a broken one.
func batches(t *testing.T) (out []kafka.Batch) {
	t.Helper()
	values := [][]byte{[]byte(`{"id":"8a1f","amount":1,"kind":"new","card":"4111111111111111"}`), nil, {}, []byte("text"), {0, 0, 0, 0, 7, 'v'}}
	for codec := range int8(5) {
		for _, producer := range []int64{-1, 77} {
			b := make(kafka.Batch, kafka.BatchHeader)
			b[16] = 2
			attributes := uint16(codec)
			if producer > 0 && codec == 2 {
				attributes |= 16 // transactional
			}
			binary.BigEndian.PutUint16(b[21:], attributes)
			binary.BigEndian.PutUint64(b[27:], 1000)
			binary.BigEndian.PutUint64(b[43:], uint64(producer))
			binary.BigEndian.PutUint32(b[53:], uint32(producer)) // a sequence number, or -1
			var list []kafka.Record
			for i, v := range values {
				r := kafka.Record{Offset: int64(i), Timestamp: 1000 + int64(i), Value: v}
				if i%2 == 0 {
					r.Key, r.Headers = []byte("k"), []kmsg.Header{{Key: "h", Value: []byte{0xff}}, {Key: "null"}}
				}
				list = append(list, r)
			}
			full, err := kafka.Rebuild(b, list, kafka.CloseGaps)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, full)
		}
	}
	marker := bytes.Clone(out[1])
	marker[22] |= 32
	broken := bytes.Clone(out[0])
	broken[len(broken)-1]++
	return append(out, rechecked(marker), broken)
}

// rechecked is a batch whose attributes were changed.
func rechecked(b kafka.Batch) kafka.Batch {
	list, err := kafka.Records(b)
	if err == nil {
		b, err = kafka.Rebuild(b, list, kafka.CloseGaps)
	}
	if err != nil {
		panic(err) // it was made here
	}
	return b
}

// message is a request of a version, about the topic if it is about records: a partition for each
// batch.
func (c *conform) message(key kmsg.Key, version int16) kmsg.Request {
	m := kmsg.RequestForKey(int16(key))
	m.SetVersion(version)
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		m.Acks, m.TimeoutMillis = -1, 1000
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = c.topic, ID("prod", c.topic)
		for i, b := range c.batches {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(i), b
			t.Partitions = append(t.Partitions, p)
		}
		m.Topics = append(m.Topics, t)
	case *kmsg.FetchRequest:
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = c.topic, ID("prod", c.topic)
		for i := range c.batches {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = int32(i), 1<<20, -1
			t.Partitions = append(t.Partitions, p)
		}
		m.MaxBytes, m.MinBytes, m.MaxWaitMillis, m.SessionEpoch, m.Topics = 1<<20, 1, 100, -1, append(m.Topics, t)
	}
	return m
}

// fetched is what a broker answers to a Fetch: every batch, as its own partition.
func (c *conform) fetched(version int16) *plugin.Response {
	m := kmsg.NewPtrFetchResponse()
	m.SetVersion(version)
	t := kmsg.NewFetchResponseTopic()
	t.Topic, t.TopicID = c.topic, ID("prod", c.topic)
	for i, b := range c.batches {
		b = bytes.Clone(b)
		b.SetBaseOffset(100)
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.LastStableOffset, p.RecordBatches = int32(i), 200, 200, b
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return Encode(m)
}

// request wraps a message, encoded as a client would have sent it.
func (c *conform) request(ctx context.Context, m kmsg.Request) *plugin.Request {
	return &plugin.Request{
		Header:  kafka.Header{Key: kmsg.Key(m.Key()), Version: m.GetVersion(), ClientID: "test", HasClientID: true},
		Body:    kafka.NewRequestBody(kmsg.Key(m.Key()), m.GetVersion(), m.AppendTo(nil)),
		Session: plugin.NewSession(ctx, 1, nil, nil), Target: plugin.Target{Cluster: "prod", Node: plugin.AnyNode}, Seq: 1,
	}
}

func flat(appendTo func(*kafka.Out)) []byte {
	var o kafka.Out
	appendTo(&o)
	return bytes.Clone(o.Bytes())
}

// errTurn says that the session's next request would wait for ever, or would have left too early.
var errTurn = errors.New("turn")

// exchange runs a request that a broker answers.
func (c *conform) exchange(ctx context.Context, key kmsg.Key, version int16) error {
	req := c.request(ctx, c.message(key, version))
	before := flat(req.Body.AppendTo)
	var bad error
	resp, err := c.run(ctx, req, plugin.HandlerFunc(func(_ context.Context, sent *plugin.Request) (*plugin.Response, error) {
		once, again := flat(sent.Body.AppendTo), flat(sent.Body.AppendTo)
		m, err := kafka.NewRequestBody(sent.Key, sent.Version, once).Peek()
		switch {
		case err != nil:
			bad = fmt.Errorf("what it sends is broken: %w", err)
		case !bytes.Equal(once, again):
			bad = errors.New("what it sends is another thing the second time")
		case sent.Key == kmsg.Produce:
			bad = c.produced(m.(*kmsg.ProduceRequest))
		case sent.Key == kmsg.Fetch:
			return c.fetched(sent.Version), nil
		}
		return plugin.Fail(sent, 0, "")
	}))
	switch {
	case bad != nil:
		return bad
	case err != nil:
		return err
	case resp == nil:
		return errors.New("no answer, and no error")
	case !bytes.Equal(before, flat(req.Body.AppendTo)):
		return errors.New("it has changed the request that it was given")
	}
	m, err := kafka.NewResponseBody(resp.Body.Key(), resp.Body.Version(), flat(resp.Body.AppendTo)).Peek()
	if err != nil {
		return fmt.Errorf("its answer is broken: %w", err)
	}
	if resp.Body.Key() != key || resp.Body.Version() != version {
		return fmt.Errorf("it answers with %d, version %d", resp.Body.Key(), resp.Body.Version())
	}
	return c.answered(m)
}

// produced checks batches on their way to a broker.
func (c *conform) produced(m *kmsg.ProduceRequest) error {
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			given := c.batches[p.Partition]
			if given.IsControl() || !given.ValidCRC() {
				if !bytes.Equal(p.Records, given) {
					return fmt.Errorf("partition %d: a marker or broken batch was changed", p.Partition)
				}
				continue
			}
			for _, b := range kafka.Batches(p.Records) {
				list, err := kafka.Records(b)
				switch {
				case err != nil:
					return fmt.Errorf("partition %d: %w", p.Partition, err)
				case !b.ValidCRC():
					return fmt.Errorf("partition %d: a wrong checksum", p.Partition)
				case b.ProducerEpoch() != given.ProducerEpoch(), b.BaseSequence() != given.BaseSequence(), b.IsTransactional() != given.IsTransactional():
					return fmt.Errorf("partition %d: another producer or sequence", p.Partition)
				case given.ProducerID() >= 0 && b.Count() != given.Count():
					return fmt.Errorf("partition %d: %d records in a sequence of %d", p.Partition, b.Count(), given.Count())
				case b.LastOffset() != int64(len(list)-1):
					return fmt.Errorf("partition %d: the last of %d records is %d", p.Partition, len(list), b.LastOffset())
				}
				for i, r := range list {
					if r.Offset != int64(i) {
						return fmt.Errorf("partition %d: record %d has the offset %d", p.Partition, i, r.Offset)
					}
				}
			}
		}
	}
	return nil
}

// answered checks that all partitions are answered, once, and records for consumers.
func (c *conform) answered(m kmsg.Response) error {
	seen := map[int32]int{}
	switch m := m.(type) {
	case *kmsg.ProduceResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				seen[p.Partition]++
			}
		}
	case *kmsg.FetchResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				seen[p.Partition]++
				if p.RecordBatches == nil {
					return fmt.Errorf("partition %d has null records, which librdkafka drops the answer for", p.Partition)
				}
				if err := c.consumed(p.Partition, p.RecordBatches); err != nil && p.ErrorCode == 0 {
					return fmt.Errorf("partition %d: %w", p.Partition, err)
				}
			}
		}
	default:
		return nil
	}
	for i := range c.batches {
		if seen[int32(i)] != 1 {
			return fmt.Errorf("partition %d is answered %d times", i, seen[int32(i)])
		}
	}
	return nil
}

// consumed checks batches on their way to a consumer, whose base offset was 100.
func (c *conform) consumed(partition int32, records []byte) error {
	given := c.batches[partition]
	for _, b := range kafka.Batches(records) {
		if given.IsControl() || !given.ValidCRC() {
			if !bytes.Equal(b[21:], given[21:]) {
				return errors.New("a marker or broken batch was changed")
			}
			continue
		}
		list, err := kafka.Records(b)
		switch {
		case err != nil:
			return err
		case !b.ValidCRC():
			return errors.New("a wrong checksum")
		case b.LastOffset()-b.BaseOffset() != given.LastOffset():
			return errors.New("consumers would go on at another offset")
		case b.BaseSequence() != given.BaseSequence(), b.ProducerEpoch() != given.ProducerEpoch():
			return errors.New("another producer or sequence")
		}
		last := b.BaseOffset() - 1
		for _, r := range list {
			if r.Offset <= last || r.Offset > b.LastOffset() {
				return fmt.Errorf("offset %d behind %d", r.Offset, last)
			}
			last = r.Offset
		}
	}
	return nil
}

var errBelow = errors.New("below")

// belowFails runs a request that fails further down.
func (c *conform) belowFails(ctx context.Context, key kmsg.Key, version int16) error {
	resp, err := c.run(ctx, c.request(ctx, c.message(key, version)), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		return nil, errBelow
	}))
	switch {
	case errors.Is(err, errTurn):
		return err
	case err == nil && resp == nil:
		return errors.New("neither an answer nor an error")
	case err != nil && !strings.Contains(err.Error(), errBelow.Error()):
		return fmt.Errorf("it says something else: %w", err)
	}
	return nil
}

// belowPanics runs a request that panics further down.
func (c *conform) belowPanics(ctx context.Context, key kmsg.Key, version int16) error {
	_, err := c.run(ctx, c.request(ctx, c.message(key, version)), func(context.Context, *plugin.Request) (*plugin.Response, error) {
		panic(errBelow)
	})
	if errors.Is(err, errTurn) {
		return err
	}
	return nil
}

// cut runs requests that end too early, at each byte of the first ones and of the last.
func (c *conform) cut(ctx context.Context, key kmsg.Key, version int16) error {
	whole := c.message(key, version).AppendTo(nil)
	for n := range whole {
		if n > 40 && n < len(whole)-4 {
			continue
		}
		req := c.request(ctx, c.message(key, version))
		req.Body = kafka.NewRequestBody(key, version, whole[:n:n])
		if _, err := c.run(ctx, req, func(_ context.Context, sent *plugin.Request) (*plugin.Response, error) {
			return plugin.Fail(sent, 0, "")
		}); errors.Is(err, errTurn) {
			return fmt.Errorf("%d of %d bytes: %w", n, len(whole), err)
		}
	}
	return nil
}

// tooLarge is an error of one partition that nobody tries again.
const tooLarge = 10

// onePartitionFails runs requests of which one partition is refused, in each place in turn.
func (c *conform) onePartitionFails(ctx context.Context, key kmsg.Key, version int16) error {
	if key != kmsg.Produce {
		return nil
	}
	for fails := range c.batches {
		resp, err := c.run(ctx, c.request(ctx, c.message(key, version)), func(_ context.Context, sent *plugin.Request) (*plugin.Response, error) {
			resp, err := plugin.Fail(sent, 0, "")
			if err != nil {
				return nil, err
			}
			h := resp.Body.View()
			for i := range h.Partitions {
				if h.Partitions[i].Partition == int32(fails) {
					h.SetErrorCode(i, tooLarge)
				} else {
					h.SetBaseOffset(i, 100)
				}
			}
			return resp, nil
		})
		if err != nil {
			return fmt.Errorf("of partition %d: %w", fails, err)
		}
		msg, err := resp.Body.Peek()
		if err != nil {
			return err
		}
		m := msg.(*kmsg.ProduceResponse)
		if err := c.answered(m); err != nil {
			return fmt.Errorf("of partition %d: %w", fails, err)
		}
		for _, p := range m.Topics[0].Partitions {
			switch {
			case p.Partition == int32(fails) && p.ErrorCode == 0:
				return fmt.Errorf("partition %d was refused, and its client is told that it is written", fails)
			case p.Partition != int32(fails) && p.ErrorCode == tooLarge:
				return fmt.Errorf("partition %d was refused, and the client of partition %d is told so", fails, p.Partition)
			}
		}
	}
	return nil
}

// left runs a request whose client has gone.
func (c *conform) left(ctx context.Context, key kmsg.Key, version int16) error {
	ctx, cancel := context.WithCancel(ctx)
	_, err := c.run(ctx, c.request(ctx, c.message(key, version)), plugin.HandlerFunc(func(ctx context.Context, _ *plugin.Request) (*plugin.Response, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	cancel()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// atOnce runs requests side by side.
func (c *conform) atOnce(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				for key, version := range map[kmsg.Key]int16{kmsg.Produce: 9, kmsg.Fetch: 12} {
					if !c.i.Keys().Has(key) {
						continue
					}
					if err := c.exchange(t.Context(), key, version); err != nil {
						t.Errorf("%s, with others at once: %v", kmsg.NameForKey(int16(key)), err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}
