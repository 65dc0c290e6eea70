package offsets

import (
	"context"
	"fmt"
	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/kafka"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestAnswersFromMemoryGiveTheTurnOn: of a produce with two partitions one is sent and the other,
// in either place, is answered from memory. The next request of the session gets its turn, and both
// partitions are answered.
func TestAnswersFromMemoryGiveTheTurnOn(t *testing.T) {
	remembered := catalog.Remembered{First: 0, Last: 2, Base: 97}
	for name, c := range map[string]struct {
		prepare func(m *catalog.Memory, partition int32)
		seq     int32
		code    int16
	}{
		"duplicate": {func(m *catalog.Memory, p int32) { m.Remember(p, producer, remembered); m.Turn() }, 0, 0},
		"gap":       {func(m *catalog.Memory, p int32) { m.Remember(p, producer, remembered); m.Turn() }, 9, int16(kafka.OutOfOrderSequenceNumber)},
		"early": {func(m *catalog.Memory, p int32) {
			m.Remember(p, producer, remembered)
			m.Turn()
			m.Judge(p, producer, catalog.Remembered{First: 3, Last: 5, Base: -1})
		}, 6, int16(kafka.NotLeaderOrFollower)},
	} {
		for version := int16(9); version <= 13; version++ {
			for local := range int32(2) {
				t.Run(fmt.Sprintf("%s, version %d, partition %d", name, version, local), func(t *testing.T) {
					o, env := build(t, true)
					c.prepare(env.Catalog.Topic("orders").Memory(), local)
					m := kmsg.NewPtrProduceRequest()
					m.SetVersion(version)
					m.Acks = -1
					rt := kmsg.NewProduceRequestTopic()
					rt.Topic, rt.TopicID = "orders", plugintest.ID("dr", "orders")
					for p := range int32(2) {
						rp := kmsg.NewProduceRequestTopicPartition()
						rp.Partition, rp.Records = p, batch(0, -1, producer+1, 0, 3) // nobody remembers this one
						if p == local {
							rp.Records = batch(0, -1, producer, c.seq, 3)
						}
						rt.Partitions = append(rt.Partitions, rp)
					}
					m.Topics = append(m.Topics, rt)
					chain, err := chain.New([]chain.Named{{Name: "offsets", Interceptor: o}}, plugin.HandlerFunc(func(_ context.Context, sent *plugin.Request) (*plugin.Response, error) {
						if n := len(plugintest.Sent[*kmsg.ProduceRequest](t, sent).Topics[0].Partitions); n != 1 {
							t.Errorf("%d partitions are sent", n)
						}
						return plugin.Fail(sent, 0, "")
					}), "")
					if err != nil {
						t.Fatal(err)
					}
					passed := 0
					req := plugintest.Request(t, m, "dr")
					req.SetTurn(func() { passed++ })
					resp, err := chain.Row(kmsg.Produce).Handle(t.Context(), req)
					if err != nil {
						t.Fatal(err)
					}
					if passed != 1 {
						t.Errorf("the turn was given on %d times", passed)
					}
					codes := map[int32]int16{0: -2, 1: -2}
					for _, p := range plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics[0].Partitions {
						codes[p.Partition] = p.ErrorCode
					}
					if codes[local] != c.code {
						t.Errorf("what memory answers has the code %d, want %d", codes[local], c.code)
					}
					if codes[1-local] != 0 {
						t.Errorf("what was sent has the code %d", codes[1-local])
					}
				})
			}
		}
	}
}
