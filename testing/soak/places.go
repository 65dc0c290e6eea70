package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// asked is how many timestamps of each partition are asked for.
const asked = 10

// record is one of a log as it is read from its start.
type record struct {
	offset, timestamp int64
	id                string
}

// places asks for places in the logs by timestamp, as those do who begin at a moment: each is that
// of the first record that is not older. And who begins at an offset, also at one that has no
// record, gets what comes next.
func (w *world) places(ctx context.Context) error {
	for _, t := range w.plan.Topics {
		for p := range t.Ahead {
			log, err := w.read(ctx, t.Name, int32(p), 0, w.of[t.Name].AckedAt(int32(p)))
			if err == nil && len(log) > 0 {
				err = errors.Join(w.byTime(ctx, t.Name, int32(p), log), w.byOffset(ctx, t.Name, int32(p), log))
			}
			if err != nil {
				return fmt.Errorf("%s/%d: %w", t.Name, p, err)
			}
		}
	}
	return nil
}

// read reads a partition from an offset on, up to the record at last.
func (w *world) read(ctx context.Context, topic string, p int32, from, last int64) (log []record, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.Patience)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.gw.Bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().At(from)}}))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for len(log) == 0 && last >= 0 || len(log) > 0 && log[len(log)-1].offset < last {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return nil, fmt.Errorf("read from %d to %d, %d records: %w", from, last, len(log), err)
		}
		f.EachRecord(func(r *kgo.Record) {
			log = append(log, record{r.Offset, r.Timestamp.UnixMilli(), string(r.Value)})
		})
	}
	return log, nil
}

func (w *world) byTime(ctx context.Context, topic string, p int32, log []record) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(w.gw.Bootstrap))
	if err != nil {
		return err
	}
	defer c.Close()
	random := rand.New(rand.NewPCG(w.plan.Seed, uint64(p)))
	for range asked {
		ms := log[random.IntN(len(log))].timestamp
		listed, err := kadm.NewClient(c).ListOffsetsAfterMilli(ctx, ms, topic)
		if err != nil {
			return err
		}
		got, _ := listed.Lookup(topic, p)
		for _, r := range log {
			if r.timestamp < ms {
				continue
			}
			if got.Err != nil {
				return got.Err
			}
			if got.Offset != r.offset {
				return fmt.Errorf("%s is at offset %d, and the first record that is not older at %d", time.UnixMilli(ms).UTC().Format("15:04:05.000"), got.Offset, r.offset)
			}
			break
		}
	}
	return nil
}

func (w *world) byOffset(ctx context.Context, topic string, p int32, log []record) error {
	random := rand.New(rand.NewPCG(w.plan.Seed, uint64(p)+100))
	for range 2 {
		i := random.IntN(len(log))
		from := log[i].offset
		if i > 0 && random.IntN(2) == 0 {
			from = log[i-1].offset + 1 // maybe in a hole
		}
		got, err := w.read(ctx, topic, p, from, log[i].offset)
		if err != nil {
			return err
		}
		if got[0] != log[i] {
			return fmt.Errorf("from %d on comes %+v, and before it was %+v", from, got[0], log[i])
		}
	}
	return nil
}
