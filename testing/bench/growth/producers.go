package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producers are clients that write to a handful of topics, each one record after the other.
type producers struct {
	client *kgo.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	pause time.Duration // the longest that a record took
	err   error
}

const (
	// handful is how many topics are written to.
	handful = 8
	// writeEvery is how long each waits between two records, so that the machine has time for the
	// moves.
	writeEvery = 10 * time.Millisecond
)

// produceTo starts a client that writes to a handful of the topics that move, spread over all of
// them.
func (g *gateway) produceTo(ctx context.Context, topics int) (*producers, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(g.addr), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ClientID("growth"))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	p := &producers{client: client, stop: stop}
	first := make(chan struct{}, handful)
	for i := range handful {
		topic := topicName(2 * (i * (topics / 2) / handful)) // those with an even number live on prod
		p.wg.Go(func() { p.write(ctx, topic, first) })
	}
	for range handful {
		<-first
	}
	return p, nil
}

// write writes until the end, and says when the first record is answered.
func (p *producers) write(ctx context.Context, topic string, first chan<- struct{}) {
	for n := 0; ; n++ {
		began := time.Now()
		err := p.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("a record")}).FirstErr()
		p.mu.Lock()
		if n == 0 { // it asks for metadata first
			first <- struct{}{}
		} else {
			p.pause = max(p.pause, time.Since(began))
		}
		if err != nil && ctx.Err() == nil {
			p.err = fmt.Errorf("%s: %w", topic, err)
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		time.Sleep(writeEvery)
	}
}

// end ends them, and returns their longest pause.
func (p *producers) end() (time.Duration, error) {
	p.stop()
	p.wg.Wait()
	p.client.Close()
	return p.pause, p.err
}
