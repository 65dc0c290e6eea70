package wasm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// bomb is a few bytes that become more than a batch may by default.
func bomb(t *testing.T) kafka.Batch {
	t.Helper()
	return records(t, shape{codec: 4}, "fine", strings.Repeat("x", 65<<20))
}

// TestABombIsRefused where it is produced, alone: its neighbours are served, and the guest is not
// to blame.
func TestABombIsRefused(t *testing.T) {
	w := probing(t, "")
	m := produce("orders", bomb(t))
	for _, r := range [][]byte{records(t, shape{}, "upper"), append(records(t, shape{}, "upper"), bomb(t)...)} {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(len(m.Topics[0].Partitions)), r
		m.Topics[0].Partitions = append(m.Topics[0].Partitions, p)
	}
	resp, sent, err := whole(t, w, m)
	if err != nil || len(sent.Topics[0].Partitions) != 1 || sent.Topics[0].Partitions[0].Partition != 1 {
		t.Fatalf("%v, sent %d partitions", err, len(sent.Topics[0].Partitions))
	}
	codes := map[int32]int16{}
	for _, p := range resp.Topics[0].Partitions {
		codes[p.Partition] = p.ErrorCode
		if p.ErrorCode != 0 && !strings.Contains(*p.ErrorMessage, "limits.batch_bytes") {
			t.Errorf("it says %q", *p.ErrorMessage)
		}
	}
	about := fact.Of(t, "codes %v", codes)
	if fact.Equal(about, "len(codes)", len(codes), 3) {
		fact.Equal(about, "codes[0]", kafka.Code(codes[0]), kafka.InvalidRecord)
		fact.Equal(about, "codes[1]", codes[1], 0)
		fact.Equal(about, "codes[2]", kafka.Code(codes[2]), kafka.InvalidRecord)
	}
	if w.Guest().Failed.Load() != 0 {
		t.Error("it counts as a failure of the guest")
	}
}

// TestABombOfABrokerIsAsOnErrorSays: a consumer gets it as it is only where a guest may be left
// out.
func TestABombOfABrokerIsAsOnErrorSays(t *testing.T) {
	b := bomb(t)
	if _, err := fetched(t, probing(t, ", on_error: reject"), "orders", b); !errors.Is(err, kafka.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	resp, err := fetched(t, probing(t, ", on_error: pass"), "orders", b)
	if err != nil || len(resp.Topics[0].Partitions[0].RecordBatches) != len(b) {
		t.Errorf("%v, %+v", err, resp)
	}
}

// TestWhatIsDecodedIsCounted within the bounds of the client's session, until the guest is done
// with it.
func TestWhatIsDecodedIsCounted(t *testing.T) {
	w := probing(t, "")
	req := plugintest.Request(t, produce("orders", records(t, shape{codec: 1}, "upper", strings.Repeat("x", 1<<20))), "prod")
	counted, highest, open := int64(0), int64(0), 0
	req.Session.Decoding = func() (kafka.Bounds, func()) {
		open++
		return kafka.Bounds{Most: 8 << 20, Grow: func(n int64) error {
			counted += n
			highest = max(highest, counted)
			return nil
		}}, func() { open-- }
	}
	_, err := w.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		if open != 0 {
			t.Error("counted while a broker has it")
		}
		return plugin.Fail(req, 0, "")
	}))
	if err != nil || highest < 1<<20 || highest > 4<<20 {
		t.Errorf("%v, %d bytes counted", err, highest)
	}
}
