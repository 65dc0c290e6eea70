package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestManyTopicsMoveTogether: one edit moves 200 topics of 6 partitions under clients that use all
// of them. Each client waits once, and nothing is lost, repeated or out of order. The times are
// reported: 2 s for the longest pause and 15 s for all are aimed at.
func TestManyTopicsMoveTogether(t *testing.T) {
	kafkatest.Require(t, "java", "mvn")
	const topics, partitions = 200, 6
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	var names []string
	homes := map[string]string{}
	spread := clients.Spread{Rate: 5 * time.Millisecond, Partitions: map[string][]int32{}, Of: map[string]*clients.Recorder{}}
	for i := range topics {
		name := fmt.Sprintf("many-%03d", i)
		names, homes[name], spread.Of[name], spread.Partitions[name] = append(names, name), "prod", clients.NewRecorder(), []int32{0, 1, 2, 3, 4, 5}
	}
	spread.Topics = names
	var clusters [2]*kafkatest.RealCluster
	var errs [2]error
	var wg sync.WaitGroup
	dir := t.TempDir()
	for i, name := range []string{"prod", "dr"} {
		wg.Go(func() {
			if clusters[i], errs[i] = kafkatest.Real(ctx, name, kafkatest.Kafka4, dir, 2); errs[i] != nil {
				return
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(clusters[i].Bootstrap()...))
			if errs[i] = err; err == nil {
				_, errs[i] = kadm.NewClient(cl).CreateTopics(ctx, partitions, 1, nil, names...)
				cl.Close()
			}
		})
	}
	wg.Wait()
	for i, c := range clusters {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	gw, err := gatewaytest.Start(ctx, t.TempDir(), homes, slog.New(slog.NewTextHandler(io.Discard, nil)), clusters[0], clusters[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Stop() })
	copier, err := kafkatest.StartCopier(ctx, kafkatest.CopierConfig{From: clusters[0].Bootstrap(), To: clusters[1].Bootstrap(), Topics: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(copier.Stop)
	var longest atomic.Int64
	spread.Bootstrap = gw.Bootstrap
	spread.Took = func(d time.Duration) {
		for was := longest.Load(); int64(d) > was && !longest.CompareAndSwap(was, int64(d)); was = longest.Load() {
		}
	}
	producing, stopProducers := context.WithCancel(ctx)
	consuming, stopConsumers := context.WithCancel(ctx)
	defer stopProducers()
	defer stopConsumers()
	var producers, consumers sync.WaitGroup
	for _, kind := range []string{"idempotent", "batching", "plain"} {
		producers.Go(func() {
			if err := spread.Produce(producing, kind, kind); err != nil {
				t.Error(err)
			}
		})
	}
	consumers.Go(func() { _ = spread.Consume(consuming, "reader", "", 0) })
	until := func(what string, cond func() bool) {
		t.Helper()
		if !eventually.True(cond) {
			state := map[string]int{}
			for _, m := range gw.Moves() {
				state[fmt.Sprint(m.Phase, " ", m.Error)]++
			}
			t.Fatalf("waited in vain for %s: %v", what, state)
		}
	}
	acked := func() (n int) {
		for _, r := range spread.Of {
			n += r.AckedCount()
		}
		return n
	}
	until("records everywhere", func() bool { return acked() > 3000 })
	steady := time.Duration(longest.Swap(0))
	began := time.Now()
	if err := gw.EditAll(func(text string) string {
		return strings.ReplaceAll(text, ": {cluster: prod}", ": {cluster: dr}")
	}); err != nil {
		t.Fatal(err)
	}
	until("the moves", func() bool {
		done := 0
		for _, m := range gw.Moves() {
			if m.Phase == failover.Done {
				done++
			}
		}
		return done == topics
	})
	took := time.Since(began)
	want := acked() + 500
	until("more records", func() bool { return acked() >= want })
	stopProducers()
	producers.Wait()
	until("the reader", func() bool {
		return !slices.ContainsFunc(names, func(n string) bool { return spread.Of[n].AckedCount() > 0 && !spread.Of[n].Complete() })
	})
	stopConsumers()
	consumers.Wait()
	for _, n := range names {
		if r := spread.Of[n].Report(); !r.Clean() {
			t.Errorf("%s: %+v %v", n, r, r.Details)
		}
	}
	if n := holds(gw.Moves()); n > 10 { // one, where the machine is not so busy that pre-checks come in by drops
		t.Errorf("clients were held %d times", n)
	}
	t.Logf("%d records; %d topics moved in %s, held %d times; the longest pause %s (%s before)", acked(), topics, took.Round(time.Millisecond), holds(gw.Moves()), time.Duration(longest.Load()).Round(time.Millisecond), steady.Round(time.Millisecond))
}

// holds counts the times, apart from each other, in which at least one topic was held.
func holds(moves []failover.Report) int {
	type span struct{ from, to time.Time }
	var all []span
	for _, m := range moves {
		for _, s := range m.Steps {
			if s.Phase == failover.Hold {
				all = append(all, span{s.At, s.At.Add(time.Duration(m.PauseMS) * time.Millisecond)})
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	n := 0
	var end time.Time
	for _, s := range all {
		if s.from.After(end) {
			n++
		}
		if s.to.After(end) {
			end = s.to
		}
	}
	return n
}
