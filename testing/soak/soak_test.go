package soak

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSoak runs random schedules for half a minute, or as many as SLUICE_SOAK_SEEDS says;
// SLUICE_SOAK_SEED is the first one, and one after the other follows.
func TestSoak(t *testing.T) {
	seeds, first := number(t, "SLUICE_SOAK_SEEDS", 0), number(t, "SLUICE_SOAK_SEED", 0)
	if first == 0 {
		first = uint64(time.Now().UnixNano()) % 1_000_000
	} else if seeds == 0 {
		seeds = 1
	}
	for n, began := uint64(0), time.Now(); seeds == 0 && time.Since(began) < 25*time.Second || n < seeds; n++ {
		plan := NewPlan(first + n)
		t.Run(fmt.Sprint(plan.Seed), func(t *testing.T) { run(t, plan) })
	}
}

func run(t *testing.T, plan Plan) {
	t.Log(plan)
	ctx := eventually.Context(t)
	clusters := map[string]kafkatest.Cluster{}
	for _, name := range []string{"prod", "dr"} {
		c, err := kafkatest.Fake(name, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		clusters[name] = c
	}
	res, err := Run(ctx, plan, Options{Dir: t.TempDir(), Log: os.Stderr, Every: 5 * time.Millisecond, Patience: eventually.Limit}, clusters["prod"], clusters["dr"])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d moves, %d records, %d lost with a home, %d again behind a kill, the longest pause %s", res.Moves, res.Acked, res.Lost, res.Again, res.Pause)
	for _, f := range res.Faults {
		t.Error(f)
	}
	if t.Failed() {
		t.Logf("again: SLUICE_SOAK_SEED=%d go test -run TestSoak ./testing/soak", plan.Seed)
	}
}
