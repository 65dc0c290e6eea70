package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/core/standing"
)

// crowd is a gateway with hundreds of everything, over two clusters of which one is dead.
type crowd struct {
	plain
	mu      sync.Mutex
	names   []string // of topics
	records int64    // of each topic
	moves   []failover.Report
	topics  int // how often it was asked for all topics
	plans   int
}

// longest is a name as long as Kafka allows.
func longest(i int) string {
	s := fmt.Sprintf("topic-%03d.", i)
	return s + strings.Repeat("x", 249-len(s))
}

func newCrowd() *crowd {
	g := &crowd{records: 100}
	for i := range 300 {
		g.names = append(g.names, longest(i))
	}
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1300 {
		m := failover.Report{
			ID: fmt.Sprintf("m-%05d", i), VirtualCluster: "shop", Topic: g.names[i%300], From: "prod", To: "dr", By: "ops", Planned: i%7 > 0,
			Phase: failover.Done, Since: at.Add(time.Duration(i) * time.Second), Ended: at.Add(time.Duration(i+1) * time.Second),
			Steps: []failover.Step{{Phase: failover.Check, At: at}, {Phase: failover.Done, At: at}},
		}
		switch {
		case i >= 1000:
			m.Phase, m.Ended, m.Error = failover.Pending, time.Time{}, strings.Repeat("it waits for a <copy> ", 50)
		case i%100 == 0:
			m.PossibleLoss = []failover.Range{{Topic: m.Topic, From: 0, To: 9}}
		}
		g.moves = append(g.moves, m)
	}
	return g
}

func (g *crowd) Status() admin.Status {
	return admin.Status{
		Clusters:        []admin.Cluster{{Name: "prod", Trouble: "it <does not> answer"}, {Name: "dr", Reachable: true}},
		VirtualClusters: []admin.VirtualCluster{{Name: "shop", Clusters: []string{"prod", "dr"}}},
		Losses:          admin.Losses{Moves: 22, Records: 220},
	}
}

func (g *crowd) Counts(ctx context.Context, vc string) (out []admin.Count, err error) {
	list, err := g.Topics(ctx, vc, true, nil)
	for _, t := range list {
		out = append(out, admin.Count{Topic: t.Name, Generation: t.Generation, Records: t.Records})
	}
	return out, err
}

func (g *crowd) Topics(ctx context.Context, vc string, _ bool, _ func([]admin.Topic) []admin.Topic) (out []admin.Topic, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.topics++
	for i, n := range g.names {
		t := admin.Topic{VirtualCluster: vc, Name: n, Home: "prod", Wanted: "prod", Copies: []admin.Copy{{Cluster: "dr", Lag: int64(i)}}}
		if i%3 == 0 {
			t.Home, t.Wanted, t.Reachable = "dr", "dr", true
			t.Copies = []admin.Copy{{Cluster: "prod", Problem: strings.Repeat("the topic does not exist there ", 40)}}
		}
		for p := range 6 {
			t.Partitions = append(t.Partitions, admin.Partition{Partition: p, End: g.records + int64(i)})
			t.PartitionCount, t.Records = t.PartitionCount+1, t.Records+g.records+int64(i)
		}
		out = append(out, t)
	}
	return out, nil
}

func (g *crowd) Groups(context.Context, string) (admin.Groups, error) {
	var out admin.Groups
	for i := range 300 {
		name := fmt.Sprintf("group-%03d", i)
		switch i {
		case 0:
			name = ".."
		case 1:
			name = `<b>"&?/` + "\r\nevent: page"
		case 2:
			name = strings.Repeat("g", 30_000)
		}
		x := admin.Group{Name: name, Home: "dr", State: "Stable", Lag: int64(i)}
		for p := range 250 {
			x.Positions = append(x.Positions, admin.Position{Topic: g.names[0], Partition: int32(p), Offset: 5, End: 9, Held: map[string]admin.Held{"dr": admin.HeldNo}})
		}
		out.Groups = append(out.Groups, x)
	}
	return out, nil
}

func (g *crowd) Clients() (out []admin.Client) {
	for i := range 900 {
		c := admin.Client{ID: uint64(i), VirtualCluster: "shop", Address: fmt.Sprintf("10.0.0.%d:%d", i%200, 40000+i), ClientID: fmt.Sprintf("client-%d", i%150), Requests: int64(i), InFlight: i % 2}
		if i%150 == 7 {
			c.ClientID = strings.Repeat("<i>", 10_000)
		}
		out = append(out, c)
	}
	return out
}

func (g *crowd) Traffic() []admin.Traffic {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records += 10 // in each second
	return []admin.Traffic{{VirtualCluster: "shop", APIs: []admin.APITraffic{{API: "Produce", Requests: g.records}}}}
}

func (g *crowd) Moves() []failover.Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.moves)
}

func (g *crowd) Plan(_ context.Context, m admin.Move) (plan.Plans, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plans++
	out := plan.Plans{Summary: "200 ready, 50 blocked, 50 unplanned, 500 records would be lost", Ready: 200, Blocked: 50, Unplanned: 50, Lost: 500}
	for i, n := range g.names {
		p := plan.Plan{Topic: n, From: m.From, To: m.To, State: plan.StateReady, Planned: true}
		switch {
		case i < 50:
			p.State, p.Blocked, p.BlockedBy = plan.StateBlocked, strings.Repeat("records are <missing> ", 100), block.ByCopy
		case i < 100:
			p.State, p.Planned, p.Lost = plan.StateUnplanned, false, 10
		}
		for x := range int32(6) {
			p.Partitions = append(p.Partitions, plan.Partition{Partition: x, FromEnd: 10, ToEnd: 9, Lag: 1})
		}
		out.Topics = append(out.Topics, p)
	}
	for i := range 120 {
		out.Groups = append(out.Groups, standing.Damage{Group: fmt.Sprintf("<group> %d", i), Home: "dr", Topics: g.names[:20], Skipped: 5, SkippedSeconds: 61.2, Repeated: -1, RepeatedSeconds: 0.84})
		out.Shares = append(out.Shares, plan.Share{Group: fmt.Sprintf("<workers> %d", i), Home: "prod", Topics: g.names[:20]})
	}
	return out, nil
}
