package protocol

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// member counts the generations of a sarama group member.
type member struct {
	mu          sync.Mutex
	generations []int32
	got         int
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generations = append(m.generations, s.GenerationID())
	return nil
}
func (*member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(_ sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for range c.Messages() {
		m.mu.Lock()
		m.got++
		m.mu.Unlock()
	}
	return nil
}

func (m *member) state() (generations, got int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.generations), m.got
}

// TestOneConnectionThroughALongHold: one sarama client is producer and group member on one
// connection, with a session of 8 s, through a hold of 10 s that begins just before a heartbeat. It
// keeps its membership, and neither loses nor repeats a record.
func TestOneConnectionThroughALongHold(t *testing.T) {
	const session, hold = 8 * time.Second, 10 * time.Second
	ctx := eventually.Context(t)
	prod, err := kafkatest.Fake("prod", 1, map[string]int32{"orders": 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prod.Close() })
	h := &house{t: t, ctx: ctx, prod: prod}
	if h.gw, err = gatewaytest.Start(ctx, t.TempDir(), map[string]string{"orders": "prod"}, quiet(), prod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.gw.Stop() })

	cfg := sarama.NewConfig()
	cfg.Producer.Return.Successes = true
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Group.Session.Timeout, cfg.Consumer.Group.Heartbeat.Interval = session, session/4
	client, err := sarama.NewClient([]string{h.gw.Bootstrap}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	group, err := sarama.NewConsumerGroupFromClient("g", client)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{}
	consume, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for consume.Err() == nil {
			if err := group.Consume(consume, []string{"orders"}, m); err != nil && consume.Err() == nil {
				t.Errorf("consume: %v", err)
				return
			}
		}
	})
	send := func() error {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: "orders", Value: sarama.StringEncoder("x")})
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	h.wait("the first record", func() bool { _, got := m.state(); return got == 1 })
	time.Sleep(session/4 - 500*time.Millisecond)

	gate := h.gw.Gate(tenant, "orders")
	gate.Hold(t)
	held := make(chan error, 1)
	began := time.Now()
	go func() { held <- send() }()
	time.Sleep(hold)
	gate.Release(t)
	if err := <-held; err != nil {
		t.Errorf("the held produce: %v", err)
	}
	if took := time.Since(began); took < hold {
		t.Errorf("nothing was held: %s", took)
	}
	for range 5 {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
	h.wait("all records", func() bool { _, got := m.state(); return got >= 7 })
	time.Sleep(time.Second)
	if generations, got := m.state(); generations != 1 || got != 7 {
		t.Errorf("%d generations, %d records of 7", generations, got)
	}
	groups, err := kadm.NewClient(h.client(prod.Bootstrap()[0])).DescribeGroups(ctx, "g")
	if err != nil || len(groups["g"].Members) != 1 {
		t.Errorf("members %+v %v", groups["g"].Members, err)
	}
	stop()
	_ = group.Close()
	wg.Wait()
}
