package positions

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// read is what the groups of a cluster have committed for partition 0 of orders; -1 is nothing.
func read(t *testing.T, c plugin.Cluster) (map[string]int64, error) {
	t.Helper()
	out := map[string]int64{}
	err := Every(t.Context(), c, func(g kmsg.ListGroupsResponseGroup, at Position) {
		switch {
		case at.Topic == "":
			out[g.Group] = -1
		case at.Topic == "orders" && at.Partition == 0:
			out[g.Group] = at.Offset
		}
	})
	return out, err
}

// withGroups is a cluster with a group that has committed 5, and one that has committed nothing.
func withGroups() *fakes.Cluster {
	c := fakes.NewCluster("prod")
	c.Topic("orders", 1)
	c.Groups["slow"], c.Groups["new"] = map[int32]int64{0: 5}, map[int32]int64{0: -1}
	return c
}

func TestEveryGroupIsVisited(t *testing.T) {
	got, err := read(t, withGroups())
	if err != nil {
		t.Fatal(err)
	}
	if got["slow"] != 5 || got["new"] != -1 || len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// loading is a cluster whose coordinators have just started.
type loading struct {
	*fakes.Cluster
	list, fetch bool
}

func (l *loading) Do(ctx context.Context, n int32, req kmsg.Request) (kmsg.Response, error) {
	resp, err := l.Cluster.Do(ctx, n, req)
	switch r := resp.(type) {
	case *kmsg.ListGroupsResponse:
		if l.list {
			r.ErrorCode, r.Groups = 14, nil
		}
	case *kmsg.OffsetFetchResponse:
		if l.fetch {
			r.Groups[0].ErrorCode, r.Groups[0].Topics = 14, nil
		}
	}
	return resp, err
}

// TestALoadingCoordinatorIsNotACoordinatorWithoutGroups: what a group still reads differs.
func TestALoadingCoordinatorIsNotACoordinatorWithoutGroups(t *testing.T) {
	for name, c := range map[string]*loading{"list": {list: true}, "fetch": {fetch: true}} {
		c.Cluster = withGroups()
		if got, err := read(t, c); err == nil || !strings.Contains(err.Error(), "error 14") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// half is a cluster of which node 1, a coordinator, does not answer.
type half struct{ *fakes.Cluster }

func (h *half) Do(ctx context.Context, n int32, req kmsg.Request) (kmsg.Response, error) {
	if _, ok := req.(*kmsg.ListGroupsRequest); ok && n == 1 {
		return nil, plugin.ErrUnreachable
	}
	return h.Cluster.Do(ctx, n, req)
}

// TestGroupsOfABrokerThatDoesNotAnswer are not known to have moved while their cluster still names
// it.
func TestGroupsOfABrokerThatDoesNotAnswer(t *testing.T) {
	c := &half{withGroups()}
	if _, err := read(t, c); err == nil || !strings.Contains(err.Error(), "groups on node 1 of prod") {
		t.Errorf("%v", err)
	}
	c.Set(func() { c.Listed = []int32{0} })
	if _, err := read(t, c); err != nil {
		t.Errorf("a broker that the cluster has given up: %v", err)
	}
}
