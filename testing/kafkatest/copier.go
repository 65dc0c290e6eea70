package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Faults make a copier an unfaithful one.
type Faults struct {
	// Drop leaves out every n-th record.
	Drop int
	// Duplicate writes every n-th record twice.
	Duplicate int
	// Crash starts anew some records back after every n-th one, as a replicator does that had not
	// noted how far it was.
	Crash int
	// Transactions writes what each poll gives in a transaction. Abort aborts every n-th of them
	// first, and writes the same again.
	Transactions bool
	Abort        int
	// Swap exchanges the records of each pair of a partition that a poll gives.
	Swap bool
	// Delay is how long each poll waits before it writes.
	Delay time.Duration
}

// CopierConfig configures a replicator.
type CopierConfig struct {
	From, To []string
	// Topics are copied under the same name; they are created on To where they are missing.
	Topics []string
	// Start are the offsets to begin at; others begin at 0.
	Start  map[string]map[int32]int64
	Faults Faults
}

// Copier replicates topics record by record: timestamp, key, value, headers, partition and order.
type Copier struct {
	cfg    CopierConfig
	from   *kgo.Client
	to     *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	pos     map[string]map[int32]int64
	spoiled bool
	err     error
}

// StartCopier starts a replicator.
func StartCopier(ctx context.Context, cfg CopierConfig) (*Copier, error) {
	start := map[string]map[int32]kgo.Offset{}
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.To...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)}
	if cfg.Faults.Transactions {
		opts = append(opts, kgo.TransactionalID("copier-"+strings.Join(cfg.Topics, "-")))
	}
	to, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	source, err := kgo.NewClient(kgo.SeedBrokers(cfg.From...))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	details, err := known(ctx, kadm.NewClient(source), cfg.Topics)
	if err != nil {
		return nil, err
	}
	c := &Copier{cfg: cfg, to: to, done: make(chan struct{}), pos: map[string]map[int32]int64{}}
	for _, t := range cfg.Topics {
		d := details[t]
		if d.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", t, d.Err)
		}
		if r, err := kadm.NewClient(to).CreateTopic(ctx, int32(len(d.Partitions)), -1, nil, t); err != nil && !strings.Contains(fmt.Sprint(r.Err, err), "exists") {
			return nil, fmt.Errorf("create %s: %w", t, errors.Join(err, r.Err))
		}
		start[t] = map[int32]kgo.Offset{}
		c.pos[t] = map[int32]int64{}
		for p := range d.Partitions {
			at := cfg.Start[t][p]
			start[t][p] = kgo.NewOffset().At(at)
			c.pos[t][p] = at
		}
	}
	c.from, err = kgo.NewClient(kgo.SeedBrokers(cfg.From...), kgo.ConsumePartitions(start), kgo.FetchMaxWait(50*time.Millisecond), kgo.FetchMinBytes(1))
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(run)
	return c, nil
}

// known lists topics when the broker that is asked knows them all: one of another broker may just
// have been made.
func known(ctx context.Context, source *kadm.Client, topics []string) (kadm.TopicDetails, error) {
	for tries := 0; ; tries++ {
		details, err := source.ListTopics(ctx, topics...)
		if err != nil || details.Error() == nil || tries == 100 {
			return details, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Copier) run(ctx context.Context) {
	defer close(c.done)
	n, polls := 0, 0
	last := map[string]map[int32][]*kgo.Record{} // what was written last, for crashes
	for {
		fetches := c.from.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		if c.cfg.Faults.Delay > 0 {
			select {
			case <-time.After(c.cfg.Faults.Delay):
			case <-ctx.Done():
				return
			}
		}
		var out []*kgo.Record
		spoils := false
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			f := c.cfg.Faults
			if f.Drop > 0 && n%f.Drop == 0 {
				spoils = true
				return
			}
			cp := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
			out = append(out, cp)
			if f.Duplicate > 0 && n%f.Duplicate == 0 {
				out = append(out, again(cp))
			}
			if f.Crash == 0 {
				return
			}
			if last[r.Topic] == nil {
				last[r.Topic] = map[int32][]*kgo.Record{}
			}
			recent := append(last[r.Topic][r.Partition], cp)
			last[r.Topic][r.Partition] = recent[max(len(recent)-crashBack, 0):]
			if n%f.Crash == 0 {
				for _, r := range recent[max(len(recent)-1-n%crashBack, 0):] {
					out = append(out, again(r))
				}
			}
		})
		if c.cfg.Faults.Swap {
			for i := 0; i+1 < len(out); i++ {
				if out[i].Topic == out[i+1].Topic && out[i].Partition == out[i+1].Partition {
					out[i], out[i+1] = out[i+1], out[i]
					spoils = true
					i++
				}
			}
		}
		// A stop lets what was read be written, so that the position is exact.
		polls++
		if err := c.write(context.WithoutCancel(ctx), polls, out); err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			return
		}
		c.mu.Lock()
		c.spoiled = c.spoiled || spoils
		fetches.EachRecord(func(r *kgo.Record) { c.pos[r.Topic][r.Partition] = r.Offset + 1 })
		c.mu.Unlock()
	}
}

// crashBack is how many records a crash goes back at most.
const crashBack = 20

// again is a record that is written once more.
func again(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
}

// write writes what a poll gave.
func (c *Copier) write(ctx context.Context, polls int, out []*kgo.Record) error {
	if !c.cfg.Faults.Transactions {
		return c.to.ProduceSync(ctx, out...).FirstErr()
	}
	if len(out) == 0 {
		return nil
	}
	if f := c.cfg.Faults.Abort; f > 0 && polls%f == 0 {
		var vain []*kgo.Record
		for _, r := range out {
			vain = append(vain, again(r))
		}
		if err := c.transaction(ctx, kgo.TryAbort, vain); err != nil {
			return err
		}
	}
	return c.transaction(ctx, kgo.TryCommit, out)
}

func (c *Copier) transaction(ctx context.Context, end kgo.TransactionEndTry, out []*kgo.Record) error {
	if err := c.to.BeginTransaction(); err != nil {
		return err
	}
	if err := c.to.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return err
	}
	return c.to.EndTransaction(ctx, end)
}

// Position is the next offset of each partition that is to be copied.
func (c *Copier) Position() map[string]map[int32]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]map[int32]int64{}
	for t, ps := range c.pos {
		out[t] = map[int32]int64{}
		for p, o := range ps {
			out[t][p] = o
		}
	}
	return out
}

// Spoiled reports that it has left a record out, or exchanged two: the copy is not exact.
func (c *Copier) Spoiled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spoiled
}

// Err is why it has ended by itself, nil if it has not.
func (c *Copier) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// CaughtUp waits until everything that the source has now is copied.
func (c *Copier) CaughtUp(ctx context.Context) error {
	ends, err := Ends(ctx, c.cfg.From, c.cfg.Topics...)
	if err != nil {
		return err
	}
	for {
		behind := false
		pos := c.Position()
		for t, ps := range ends {
			for p, end := range ps {
				behind = behind || pos[t][p] < end
			}
		}
		if !behind {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("copier ended: %w", c.err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the copier.
func (c *Copier) Stop() {
	c.cancel()
	<-c.done
	c.from.Close()
	c.to.Close()
}

// Ends lists the end offsets of topics on a cluster.
func Ends(ctx context.Context, bootstrap []string, topics ...string) (map[string]map[int32]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	list, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int32]int64{}
	list.Each(func(o kadm.ListedOffset) {
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]int64{}
		}
		out[o.Topic][o.Partition] = o.Offset
	})
	if len(out) == 0 && len(topics) > 0 && !slices.Contains(topics, "") {
		return nil, fmt.Errorf("none of %v exists", topics)
	}
	return out, nil
}
