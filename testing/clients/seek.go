package clients

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Seek asks again and again for records at offsets that were acknowledged some time ago, each at
// once, until ctx ends: there must be the same ones.
func (s Spread) Seek(ctx context.Context, name string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap), kgo.ClientID(name), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		topic := s.Topics[rand.IntN(len(s.Topics))]
		id, at, ok := s.Of[topic].Any()
		if !ok {
			continue
		}
		c.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {at.Partition: kgo.NewOffset().At(at.Offset)}})
		var first *kgo.Record
		for first == nil && ctx.Err() == nil {
			f := c.PollFetches(ctx)
			if ctx.Err() != nil {
				return nil
			}
			f.EachError(func(t string, p int32, err error) { s.Of[topic].Error(name, "%s/%d: %v", t, p, err) })
			if records := f.Records(); len(records) > 0 {
				first = records[0]
			}
		}
		c.RemoveConsumePartitions(map[string][]int32{topic: {at.Partition}})
		if first != nil {
			s.Of[topic].Found(name, id, at, string(first.Value), Place{first.Partition, first.Offset})
		}
	}
}
