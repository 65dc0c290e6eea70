package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const topic = "resilient_topic"

// result is what the demo counted.
type result struct {
	clients.Report
	Moves []failover.Report `json:"moves"`
}

// demo holds the two clusters, the replicator, the gateway and the clients.
type demo struct {
	prod, dr *kafkatest.FakeCluster
	copier   *kafkatest.Copier
	gw       *gatewaytest.Gateway
	dir      string
	rec      *clients.Recorder

	stopProducer, stopConsumer context.CancelFunc
	producer, consumer         sync.WaitGroup
}

func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

func start(ctx context.Context) (*demo, error) {
	d := &demo{rec: clients.NewRecorder()}
	var err error
	if d.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return nil, err
	}
	if d.prod, err = kafkatest.Fake("prod", 2, map[string]int32{topic: 3}); err != nil {
		return nil, err
	}
	if d.dr, err = kafkatest.Fake("dr", 2, map[string]int32{topic: 3}); err != nil {
		return nil, err
	}
	say("prod is %v, dr is %v: two clusters of two brokers", d.prod.Bootstrap(), d.dr.Bootstrap())
	if err := d.copy(ctx, d.prod, d.dr, nil); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if d.gw, err = gatewaytest.Start(ctx, d.dir, map[string]string{topic: "prod"}, log, d.prod, d.dr); err != nil {
		return nil, err
	}
	say("the gateway listens on %s; its file is %s", d.gw.Bootstrap, d.gw.File)
	target := clients.Target{Bootstrap: d.gw.Bootstrap, Topic: topic, Rate: 5 * time.Millisecond}
	pctx, stopProducer := context.WithCancel(ctx)
	cctx, stopConsumer := context.WithCancel(ctx)
	d.stopProducer, d.stopConsumer = stopProducer, stopConsumer
	run := func(ctx context.Context, wg *sync.WaitGroup, name string, c clients.Client) {
		wg.Go(func() {
			if err := c(ctx, target, name, d.rec); err != nil {
				d.rec.Error(name, "%v", err)
			}
		})
	}
	run(cctx, &d.consumer, "consumer", clients.FranzConsumer)
	run(pctx, &d.producer, "producer", clients.FranzProducer)
	return d, nil
}

// copy starts the replicator.
func (d *demo) copy(ctx context.Context, from, to kafkatest.Cluster, cut map[string]map[int32]int64) (err error) {
	d.copier, err = kafkatest.StartCopier(ctx, kafkatest.CopierConfig{From: from.Bootstrap(), To: to.Bootstrap(), Topics: []string{topic}, Start: cut})
	if err == nil {
		say("a replicator copies %s from %s to %s", topic, from.Name(), to.Name())
	}
	return err
}

// story is the demo: over to dr, a look at the clusters, back to prod.
func (d *demo) story(ctx context.Context, manual bool) error {
	if err := d.flow(ctx, 300); err != nil {
		return err
	}
	if err := d.move(ctx, 1, "prod", "dr", manual); err != nil {
		return err
	}
	// As an operator would: once the topic has moved, the replicator is turned round from the cut
	// on.
	cut := d.copier.Position()
	d.copier.Stop()
	if err := d.flow(ctx, 300); err != nil {
		return err
	}
	if err := d.verify(ctx, cut); err != nil {
		return err
	}
	if err := d.copy(ctx, d.dr, d.prod, cut); err != nil {
		return err
	}
	if err := d.copier.CaughtUp(ctx); err != nil {
		return err
	}
	if err := d.move(ctx, 2, "dr", "prod", manual); err != nil {
		return err
	}
	return d.flow(ctx, 300)
}

// flow lets n more records be acknowledged.
func (d *demo) flow(ctx context.Context, n int) error {
	want := d.rec.AckedCount() + n
	for d.rec.AckedCount() < want {
		if err := tick(ctx); err != nil {
			return err
		}
	}
	r := d.rec.Report()
	say("producer: %d acknowledged; consumer: %d received", r.Acked, r.Received)
	return nil
}

func tick(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// moves are those of the topic; the group of the consumer goes with it.
func (d *demo) moves() []failover.Report {
	return slices.DeleteFunc(d.gw.Moves(), func(m failover.Report) bool { return m.Kind != failover.Topic })
}

func (d *demo) move(ctx context.Context, n int, from, to string, manual bool) error {
	old, edited := topic+": {cluster: "+from+"}", topic+": {cluster: "+to+"}"
	if manual {
		say("now edit %s: change\n\n    %s\n\nto\n\n    %s\n", d.gw.File, old, edited)
	} else {
		say("edit of the file:\n  - %s\n  + %s", old, edited)
		if err := d.gw.Edit(old, edited); err != nil {
			return err
		}
	}
	began := time.Now()
	for {
		moves := d.moves()
		if len(moves) >= n && moves[n-1].Phase == failover.Done {
			m := moves[n-1]
			var phases []string
			for _, s := range m.Steps {
				phases = append(phases, string(s.Phase))
			}
			say("%s moved from %s to %s: %s; clients were held for %d ms", topic, m.From, m.To, strings.Join(phases, ", "), m.PauseMS)
			return nil
		}
		if !manual && time.Since(began) > 2*time.Minute {
			return fmt.Errorf("the move did not end: %+v", moves)
		}
		if err := tick(ctx); err != nil {
			return err
		}
	}
}

// verify asks the clusters themselves: what was written before the move is on both, what came
// after it on dr alone.
func (d *demo) verify(ctx context.Context, cut map[string]map[int32]int64) error {
	prod, err := kafkatest.Ends(ctx, d.prod.Bootstrap(), topic)
	if err != nil {
		return err
	}
	dr, err := kafkatest.Ends(ctx, d.dr.Bootstrap(), topic)
	if err != nil {
		return err
	}
	var before, onProd, onDR int64
	var full int32
	for p, end := range cut[topic] {
		before += end
		if end > cut[topic][full] {
			full = p
		}
		onProd += prod[topic][p]
		onDR += dr[topic][p]
	}
	if onProd != before || onDR <= before {
		return fmt.Errorf("prod has %d records and dr %d, but %d were written before the move", onProd, onDR, before)
	}
	a, err := first(ctx, d.prod, full)
	if err != nil {
		return err
	}
	b, err := first(ctx, d.dr, full)
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("the first record is %q on prod and %q on dr", a, b)
	}
	say("prod has the %d records from before the move; dr has them and %d more", onProd, onDR-before)
	return nil
}

// first reads the first record of a partition from a cluster itself.
func first(ctx context.Context, c kafkatest.Cluster, partition int32) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(0)}}))
	if err != nil {
		return "", err
	}
	defer cl.Close()
	for {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return "", err
		}
		if r := f.Records(); len(r) > 0 {
			return string(r[0].Value), nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
}

// stop ends the producer, lets the consumer finish, and counts.
func (d *demo) stop() result {
	d.stopProducer()
	d.producer.Wait()
	for end := time.Now().Add(time.Minute); !d.rec.Complete() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	d.stopConsumer()
	d.consumer.Wait()
	r := result{Report: d.rec.Report(), Moves: d.moves()}
	for _, x := range r.Details {
		say("%s", x)
	}
	d.copier.Stop()
	if err := d.gw.Stop(); err != nil {
		say("gateway: %v", err)
	}
	_ = d.prod.Close()
	_ = d.dr.Close()
	_ = os.RemoveAll(d.dir)
	return r
}
