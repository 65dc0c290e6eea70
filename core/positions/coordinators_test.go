package positions

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// halved is a cluster of which a node does not answer.
type halved struct {
	*fakes.Cluster
	silent int32
}

func (h *halved) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	if node == h.silent {
		return nil, fmt.Errorf("node %d: %w", node, plugin.ErrUnreachable)
	}
	return h.Cluster.Do(ctx, node, req)
}

// TestCoordinatorsAreRemembered until they are none, or don't answer.
func TestCoordinatorsAreRemembered(t *testing.T) {
	prod, other := &halved{fakes.NewCluster("prod"), -2}, fakes.NewCluster("other")
	prod.Topic("orders", 1)
	var all Coordinators
	write := func(group string, at int64) error {
		return Write(t.Context(), all.Over([]plugin.Cluster{prod, other})[0], group, []Position{{Topic: "orders", Offset: at}})
	}
	for _, x := range []struct {
		name  string
		to    func()
		group string
		finds int
	}{
		{"at first", func() {}, "app", 1},
		{"then", func() {}, "app", 0},
		{"another group", func() {}, "billing", 1},
		{"another coordinator", func() { prod.Coordinates = 1 }, "app", 1},
		{"again", func() {}, "app", 0},
		{"one that does not answer", func() { prod.Coordinates, prod.silent = 0, 1 }, "app", 1},
		{"of a cluster that was away", func() { all.Over(nil) }, "app", 1},
	} {
		x.to()
		before := prod.Count(kmsg.FindCoordinator)
		at := int64(before + 5)
		err := write(x.group, at)
		about := fact.Of(t, "%s", x.name)
		fact.NoError(about, err)
		fact.Equal(about, "coordinators looked for", prod.Count(kmsg.FindCoordinator)-before, x.finds)
		fact.Equal(about, "position", prod.Groups[x.group][0], at)
	}
	prod.silent = 0
	before := prod.Count(kmsg.FindCoordinator)
	err := write("app", 1)
	about := fact.Of(t, "while the coordinator does not answer")
	fact.True(about, "an error", err != nil)
	fact.Equal(about, "coordinators looked for", prod.Count(kmsg.FindCoordinator)-before, 1)
	prod.Coordinates = 1
	fact.NoError(fact.Of(t, "once there is another one"), write("app", 2))
}
