package protocol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestLargeRecordsThroughAGuest: batches that a guest changes are built and written in memory that
// is used again, by several producers and consumers at once, while links break and the topic moves.
// Every record arrives as it was sent, with one header.
func TestLargeRecordsThroughAGuest(t *testing.T) {
	h := build(t, "orders")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(h.gw.Dir, "header.wasm"), "../../sdk/examples/header")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := h.gw.Edit("      - routing:", "      - wasm: {file: header.wasm, limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the guest", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "header.wasm") })
	h.copier(kafkatest.Faults{}, "orders")

	const producers, each = 4, 60
	var mu sync.Mutex
	received, produced, broken := map[string]int{}, 0, 0
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	var consumers sync.WaitGroup
	for range 2 {
		c := h.client(h.gw.Bootstrap, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
		consumers.Go(func() {
			for ctx.Err() == nil {
				c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					sum := sha256.Sum256(r.Value)
					mu.Lock()
					defer mu.Unlock()
					if !bytes.Equal(sum[:], r.Key) || len(r.Headers) != 1 || string(r.Headers[0].Value) != "sluice" {
						t.Errorf("%s/%d, offset %d: %d bytes with %d headers are not what was sent", r.Topic, r.Partition, r.Offset, len(r.Value), len(r.Headers))
					}
					received[string(r.Key)]++
				})
			}
		})
	}
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			if produced++; produced%8 == 0 {
				broken++
				return nil, fmt.Errorf("the link breaks"), true
			}
			return nil, nil, false
		})
	}
	var all sync.WaitGroup
	for n := range producers {
		codec := []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression()}[n%2]
		p := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(900_000))
		all.Go(func() {
			random := rand.NewChaCha8([32]byte{byte(n)})
			var sent sync.WaitGroup
			for i := range each {
				value := make([]byte, 1+rand.IntN(200_000))
				_, _ = random.Read(value)
				sum := sha256.Sum256(value)
				sent.Add(1)
				p.Produce(h.ctx, &kgo.Record{Topic: "orders", Partition: int32(i % 3), Key: sum[:], Value: value}, func(_ *kgo.Record, err error) {
					defer sent.Done()
					if err != nil {
						t.Errorf("producer %d, record %d: %v", n, i, err)
					}
				})
				if i == each/2 && n == 0 {
					if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
						t.Error(err)
					}
				}
			}
			sent.Wait()
		})
	}
	all.Wait()
	h.moved(1)
	h.wait("all records", func() bool {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, times := range received {
			n += times
		}
		return n >= 2*producers*each
	})
	cancel()
	consumers.Wait()
	for key, times := range received {
		if times != 2 {
			t.Errorf("%x was read %d times by two consumers", key[:4], times)
		}
	}
	if broken == 0 || len(received) != producers*each {
		t.Errorf("%d links broke, %d records arrived", broken, len(received))
	}
}
