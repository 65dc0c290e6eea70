package protocol

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestSmallPartitionsTurnAgainAndAgain: a replicator that is turned round goes on where it had
// stopped in that direction, as MirrorMaker does, so that a copy has once more what was copied
// before. However few records came since the last turn, the copy is exact from its own start, and
// clients read everything once and in order.
func TestSmallPartitionsTurnAgainAndAgain(t *testing.T) {
	sizes := map[string][3]int{"small": {0, 1, 9}, "middle": {40, 63, 64}, "large": {80, 8, 17}}
	h := build(t, "small", "middle", "large")
	var topics []string
	for n := range sizes {
		topics = append(topics, n)
	}
	p := h.client(h.gw.Bootstrap)
	written := map[string][3]int{}
	write := func(turn int) {
		for topic, bySize := range sizes {
			total := written[topic]
			for part, n := range bySize {
				if turn > 0 {
					n = min(n, turn) // one or a few: less than were copied before
				}
				for range n {
					r := &kgo.Record{Topic: topic, Partition: int32(part), Value: fmt.Append(nil, total[part])}
					if err := p.ProduceSync(h.ctx, r).FirstErr(); err != nil {
						t.Fatal(err)
					}
					total[part]++
				}
			}
			written[topic] = total
		}
	}
	position := map[bool]map[string]map[int32]int64{} // by direction
	homes := map[bool]string{true: "dr", false: "prod"}
	moves := 0
	for turn := range 5 {
		there := turn%2 == 0
		from, to := h.prod, h.dr
		if !there {
			from, to = to, from
		}
		write(turn)
		c, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: from.Bootstrap(), To: to.Bootstrap(), Topics: topics, Start: position[there]})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CaughtUp(h.ctx); err != nil {
			t.Fatal(err)
		}
		for _, topic := range topics {
			if err := h.gw.Edit(topic+": {cluster: "+homes[!there], topic+": {cluster: "+homes[there]); err != nil {
				t.Fatal(err)
			}
		}
		moves += len(topics)
		h.moved(moves)
		c.Stop()
		position[there] = c.Position()
	}
	write(1)
	h.inOrder(written)
}

// inOrder reads all partitions from the beginning: records carry their number.
func (h *house) inOrder(written map[string][3]int) {
	h.t.Helper()
	ctx := h.ctx
	want := 0
	start := map[string]map[int32]kgo.Offset{}
	for topic, total := range written {
		start[topic] = map[int32]kgo.Offset{}
		for p, n := range total {
			start[topic][int32(p)] = kgo.NewOffset().AtStart()
			want += n
		}
	}
	c := h.client(h.gw.Bootstrap, kgo.ConsumePartitions(start), kgo.FetchMaxWait(100*time.Millisecond))
	next := map[string]int{}
	for got := 0; got < want; {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			h.t.Fatalf("%d of %d records", got, want)
		}
		f.EachError(func(topic string, p int32, err error) { h.t.Fatalf("%s/%d: %v", topic, p, err) })
		f.EachRecord(func(r *kgo.Record) {
			key := fmt.Sprint(r.Topic, "/", r.Partition)
			if string(r.Value) != fmt.Sprint(next[key]) {
				h.t.Fatalf("%s at %d is record %s, want %d", key, r.Offset, r.Value, next[key])
			}
			next[key]++
			got++
		})
	}
}
