package protocol

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestFetchesOfASessionNameWhatChanged: a consumer of 300 partitions names them once. Passed
// through and through the whole chain, by topic id and by name.
func TestFetchesOfASessionNameWhatChanged(t *testing.T) {
	const width = 300
	for _, chain := range []string{"[]", "[routing: {default: prod}, topics: {}, offsets: {}]"} {
		for _, version := range []int16{12, 17} {
			t.Run(fmt.Sprintf("%s version %d", chain, version), func(t *testing.T) {
				ctx := eventually.Context(t)
				prod, err := kafkatest.Fake("prod", 1, map[string]int32{"wide": width})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = prod.Close() })
				h := &house{t: t, ctx: ctx, prod: prod}
				port, err := kafkatest.FreePorts(3)
				if err != nil {
					t.Fatal(err)
				}
				h.gw = open(t, fmt.Sprintf("clusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: %s\n",
					prod.Bootstrap()[0], port, port+1, port+2, chain))
				bootstrap := fmt.Sprintf("127.0.0.1:%d", port)

				var s sniffer
				consumer := h.client(bootstrap, kgo.Dialer(s.dial), kgo.ConsumeTopics("wide"), kgo.FetchMaxWait(50*time.Millisecond),
					kgo.MaxVersions(fetchVersion(version)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
				got := make(chan *kgo.Record, 100)
				go poll(ctx, consumer, got)
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(s.String())
					}
				})
				var quiet *kmsg.FetchRequest
				h.wait("fetches that name everything once, and one of nothing", func() bool {
					quiet, _ = s.find(0, func(f *kmsg.FetchRequest) bool {
						return f.SessionID > 0 && f.SessionEpoch > 0 && len(f.Topics)+len(f.ForgottenTopics) == 0
					})
					return quiet != nil && s.named() == width
				})
				if quiet.Version != version {
					t.Errorf("it speaks version %d", quiet.Version)
				}
				n := s.count()
				producer := h.client(bootstrap)
				r := &kgo.Record{Topic: "wide", Partition: 217, Value: []byte("x")}
				if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
					t.Fatal(err)
				}
				select {
				case r := <-got:
					if r.Partition != 217 || string(r.Value) != "x" {
						t.Errorf("%s of partition %d", r.Value, r.Partition)
					}
				case <-ctx.Done():
					t.Fatal("the record did not come")
				}
				h.wait("its new position", func() bool {
					f, _ := s.find(n, func(f *kmsg.FetchRequest) bool { // one in front may name a partition that the first had left out
						return f.SessionEpoch > 0 && names(f) == 1 && f.Topics[0].Partitions[0].Partition == 217
					})
					return f != nil && f.SessionID == quiet.SessionID && f.Topics[0].Partitions[0].FetchOffset == 1
				})
				if f, _ := s.find(n, func(f *kmsg.FetchRequest) bool { return names(f) > 1 }); f != nil {
					t.Errorf("a later fetch names %d partitions", names(f))
				}
			})
		}
	}
}

// open starts a gateway with a file.
func open(t *testing.T, text string) *gatewaytest.Gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := gatewaytest.Open(t.Context(), file, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	return g
}

// poll hands on what a consumer reads.
func poll(ctx context.Context, c *kgo.Client, to chan<- *kgo.Record) {
	for ctx.Err() == nil {
		f := c.PollFetches(ctx)
		if f.IsClientClosed() {
			return
		}
		f.EachRecord(func(r *kgo.Record) {
			select {
			case to <- r:
			case <-ctx.Done():
			}
		})
	}
}

// TestAMoveInTheMiddleOfFetchSessions: consumers of two topics, by topic id and by name; one topic
// moves there and the other stays. Nothing is lost, repeated or out of order.
func TestAMoveInTheMiddleOfFetchSessions(t *testing.T) {
	h := build(t, "orders", "stays")
	h.crowd("orders", "stays")
	h.copier(kafkatest.Faults{}, "orders")
	producer := h.client(h.gw.Bootstrap)
	var mu sync.Mutex
	seen := map[int16]map[string][]string{}
	sniffers := map[int16]*sniffer{12: {}, 17: {}}
	for version, s := range sniffers {
		seen[version] = map[string][]string{}
		c := h.client(h.gw.Bootstrap, kgo.Dialer(s.dial), kgo.ConsumeTopics("orders", "stays"), kgo.FetchMaxWait(50*time.Millisecond),
			kgo.MaxVersions(fetchVersion(version)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		got := make(chan *kgo.Record, 100)
		go poll(h.ctx, c, got)
		go func() {
			for r := range got {
				if strings.HasPrefix(string(r.Value), "crowd_") {
					continue
				}
				mu.Lock()
				key := fmt.Sprint(r.Topic, r.Partition)
				seen[version][key] = append(seen[version][key], string(r.Value))
				mu.Unlock()
			}
		}()
	}
	want := map[string][]string{}
	n := 0
	produce := func(rounds int) {
		for range rounds {
			for _, topic := range []string{"orders", "stays"} {
				r := &kgo.Record{Topic: topic, Partition: int32(n % 3), Value: fmt.Append(nil, n)}
				if err := producer.ProduceSync(h.ctx, r).FirstErr(); err != nil {
					t.Fatal(err)
				}
				key := fmt.Sprint(topic, r.Partition)
				want[key] = append(want[key], string(r.Value))
			}
			n++
		}
	}
	incremental := func(f *kmsg.FetchRequest) bool { return f.SessionID > 0 && f.SessionEpoch > 0 }
	produce(30)
	h.wait("fetch sessions", func() bool {
		a, _ := sniffers[12].find(0, incremental)
		b, _ := sniffers[17].find(0, incremental)
		return a != nil && b != nil
	})
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	for h.gw.Topic(tenant, "orders").Home != "dr" {
		produce(5) // also while it is held
	}
	h.moved(1)
	from12 := sniffers[12].count()
	produce(30)
	h.wait("everything", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for version := range sniffers {
			for key := range want {
				if len(seen[version][key]) < len(want[key]) {
					return false
				}
			}
		}
		return true
	})
	h.wait("sessions after the move", func() bool {
		f, _ := sniffers[12].find(from12, incremental)
		return f != nil
	})
	mu.Lock()
	defer mu.Unlock()
	for version := range sniffers {
		for key := range want {
			if got := fmt.Sprint(seen[version][key]); got != fmt.Sprint(want[key]) {
				t.Errorf("version %d, %s:\n%s\n%s", version, key, got, want[key])
			}
		}
	}
}

// TestAFetchSessionOverAMove: a session is of a connection to one virtual node. Partitions that
// have moved away repeat their error until they are forgotten, the others go on, and the new node
// has a session too.
func TestAFetchSessionOverAMove(t *testing.T) {
	h := build(t, "orders", "stays")
	for _, move := range []error{h.prod.MoveTopicPartition("orders", 0, 0), h.prod.MoveTopicPartition("stays", 0, 0), h.dr.MoveTopicPartition("orders", 0, 0)} {
		if move != nil {
			t.Fatal(move)
		}
	}
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.gw.Bootstrap), "orders", "a", 3)
	h.produce(h.client(h.gw.Bootstrap), "stays", "a", 3)
	c := h.client(h.gw.Bootstrap)
	fetch := func(cluster string, id, epoch int32, offset int64, topics ...string) *kmsg.FetchResponse {
		t.Helper()
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionID, req.SessionEpoch = -1, 1<<20, 1, 20, id, epoch
		for _, name := range topics {
			topic, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
			p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = offset, 1<<20, -1
			topic.TopicID, topic.Partitions = h.gw.Topic(tenant, name).ID, append(topic.Partitions, p)
			req.Topics = append(req.Topics, topic)
		}
		slot := map[string]int{"prod": 1, "dr": 2}[cluster]
		resp, err := c.Broker(slot<<20).Request(h.ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.(*kmsg.FetchResponse)
	}
	if _, err := c.Request(h.ctx, kmsg.NewPtrMetadataRequest()); err != nil {
		t.Fatal(err)
	}
	first := fetch("prod", 0, 0, 3, "orders", "stays")
	if first.SessionID <= 0 || len(first.Topics) != 2 {
		t.Fatalf("%+v", first)
	}
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	for epoch := int32(1); epoch < 4; epoch++ {
		r := fetch("prod", first.SessionID, epoch, 0)
		if r.ErrorCode != 0 || r.SessionID != first.SessionID || len(r.Topics) != 1 {
			t.Fatalf("epoch %d: %+v", epoch, r)
		}
		if p := r.Topics[0].Partitions[0]; p.ErrorCode != 6 || p.CurrentLeader.LeaderID < 2<<20 {
			t.Errorf("epoch %d: code %d, leader %d", epoch, p.ErrorCode, p.CurrentLeader.LeaderID)
		}
	}
	forget := kmsg.NewFetchRequestForgottenTopic()
	forget.TopicID, forget.Partitions = h.gw.Topic(tenant, "orders").ID, []int32{0}
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionID, req.SessionEpoch = -1, 1<<20, 1, 20, first.SessionID, 4
	req.ForgottenTopics = append(req.ForgottenTopics, forget)
	if r, err := c.Broker(1<<20).Request(h.ctx, req); err != nil || len(r.(*kmsg.FetchResponse).Topics) != 0 || r.(*kmsg.FetchResponse).ErrorCode != 0 {
		t.Errorf("after it is forgotten: %+v, %v", r, err)
	}
	second := fetch("dr", 0, 0, 3, "orders")
	if second.ErrorCode != 0 || second.SessionID <= 0 || second.SessionID == first.SessionID {
		t.Errorf("at the new home: %+v", second)
	}
	if r := fetch("dr", second.SessionID, 1, 0); r.ErrorCode != 0 || len(r.Topics) != 0 {
		t.Errorf("at the new home: %+v", r)
	}
	if r := fetch("dr", first.SessionID, 5, 0); r.ErrorCode != 70 || r.SessionID != 0 {
		t.Errorf("the session of another connection: %+v", r)
	}
}

// fetchVersion limits a client's Fetch.
func fetchVersion(version int16) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Fetch), version)
	return v
}
