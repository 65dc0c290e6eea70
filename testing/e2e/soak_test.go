package e2e

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/clients/sarama"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/soak"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// TestSoakOnRealKafka runs random schedules of moves, each on topics of its own, with clients of
// other families beside: one, or as many as SLUICE_SOAK_SEEDS says, the first of which
// SLUICE_SOAK_SEED is.
func TestSoakOnRealKafka(t *testing.T) {
	kafkatest.Require(t, "java", "mvn", "javac")
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	seeds, first := number("SLUICE_SOAK_SEEDS", 1), number("SLUICE_SOAK_SEED", uint64(time.Now().UnixNano())%1_000_000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+seeds*3)*time.Minute)
	defer cancel()
	var clusters [2]*kafkatest.RealCluster
	var errs [2]error
	var wg sync.WaitGroup
	dir := t.TempDir()
	for i, name := range []string{"prod", "dr"} {
		wg.Go(func() { clusters[i], errs[i] = kafkatest.Real(ctx, name, kafkatest.Kafka4, dir, 2) })
	}
	wg.Wait()
	for i, c := range clusters {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	const v = kafkatest.Kafka4
	for n := range seeds {
		plan := soak.NewPlan(first + n)
		t.Log(plan)
		o := soak.Options{
			// As many records a second for many topics as for one: a copy that lags ends no move,
			// and both clusters share this machine.
			Dir: t.TempDir(), Log: os.Stderr, Every: time.Duration(len(plan.Topics)) * 10 * time.Millisecond, Patience: eventually.Limit,
			Producers: map[string]clients.Client{"java": clients.JavaProducer(v), "librdkafka": rdkafka.Producer(true)},
		}
		if plan.Kills() { // of which it tells its user
			delete(o.Producers, "librdkafka")
		}
		if !plan.Has(soak.Dies) && !plan.Has(soak.Takeover) && !plan.Kills() { // with the home of groups, and with batches on their way that others write twice
			o.Producers["librdkafka_plain"], o.Producers["sarama"] = rdkafka.Bounded(5), sarama.Producer
			o.Consumers = map[string]clients.Client{"java_848": clients.JavaConsumer(v, "consumer"), "java_c": clients.JavaConsumer(v, "classic"), "librdkafka_c": rdkafka.Consumer, "sarama_c": sarama.Consumer}
		}
		res, err := soak.Run(ctx, plan, o, clusters[0], clusters[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d moves, %d records, %d lost with a home, %d again behind a kill, the longest pause %s", res.Moves, res.Acked, res.Lost, res.Again, res.Pause)
		for _, f := range res.Faults {
			t.Errorf("seed %d: %s", plan.Seed, f)
		}
	}
	if t.Failed() {
		t.Logf("again: SLUICE_SOAK_SEED=%d SLUICE_SOAK_SEEDS=%d go test -run TestSoakOnRealKafka ./testing/e2e", first, seeds)
	}
}
