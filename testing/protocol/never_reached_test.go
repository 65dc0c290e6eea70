package protocol

import (
	"log/slog"
	"testing"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAClusterThatNeverAnsweredIsInTheLog: whoever has written a wrong address learns of it, once.
func TestAClusterThatNeverAnsweredIsInTheLog(t *testing.T) {
	ctx := eventually.Context(t)
	p := &pages{}
	h := &house{t: t, ctx: ctx, prod: fake(t, "prod", nil), dr: fake(t, "dr", nil)}
	err := kafkatest.KillAll(h.dr)
	if err != nil {
		t.Fatal(err)
	}
	if h.gw, err = gatewaytest.Start(ctx, t.TempDir(), nil, slog.New(slog.NewJSONHandler(p, nil)), h.prod, h.dr); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.gw.Stop() }()
	said := func(cluster string) []line {
		return having(lines(t, p.String()), "level", "WARN", "component", "upstream", "cluster", cluster)
	}
	h.wait("a line about dr", func() bool { return len(said("dr")) > 0 })
	h.wait("an answer of prod", func() bool {
		return len(having(lines(t, p.String()), "msg", "cluster reachable", "cluster", "prod")) == 1
	})
	if got := said("prod"); len(got) > 0 {
		t.Errorf("prod: %v", got)
	}
}
