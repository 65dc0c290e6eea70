package protocol

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestWhatIsSentAgainGoesToWhoLeads: a batch that a broker does not know the topic of is sent
// again, and by then another node may lead than the one that its client has dialled.
func TestWhatIsSentAgainGoesToWhoLeads(t *testing.T) {
	h := build(t, "orders")
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(h.ctx, h.client(h.gw.Bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	leader := int32(-1)
	for _, p := range meta.Topics[0].Partitions {
		if p.Partition == 0 {
			leader = p.Leader
		}
	}
	other := ""
	for _, b := range meta.Brokers {
		if b.NodeID != leader && b.NodeID>>20 == leader>>20 {
			other = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		}
	}
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp, err := refusal(req, 3)
		return resp, err, true
	})
	c := rawDial(t, other)
	m := refusedBatch{topic: "orders", records: kafkatest.Batch(100)}.request()
	m.Acks, m.TimeoutMillis = -1, 1000
	c.send(m)
	frame, err := kafka.ReadFrame(c, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := kafka.ParseResponse(kmsg.Produce, m.Version, frame)
	if err != nil {
		t.Fatal(err)
	}
	if code := kafka.NewResponseBody(kmsg.Produce, m.Version, body).ErrorCode(); code != 0 {
		t.Errorf("code %d", code)
	}
}
