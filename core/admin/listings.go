package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/failover"
)

// Lag is how many records the worst copy lacks; Unknown if one can't be told.
func (t Topic) Lag() (n int64) {
	for _, c := range t.Copies {
		if c.Lag < 0 {
			return Unknown
		}
		n = max(n, c.Lag)
	}
	return n
}

func copies(match func(Copy) bool) func(Topic) bool {
	return func(t Topic) bool { return slices.ContainsFunc(t.Copies, match) }
}

// TopicListing is how topics can be listed.
var TopicListing = Listing[Topic]{
	Known: []string{"unreachable", "elsewhere", "name", "home", "partitions"},
	Parts: true,
	Text:  func(t Topic) []string { return []string{t.Name} },
	States: []State[Topic]{
		{"unreachable", func(t Topic) bool { return !t.Reachable }},
		{"elsewhere", func(t Topic) bool { return t.Home != t.Wanted }},
		{"broken", copies(func(c Copy) bool { return c.Problem != "" })},
		{"behind", copies(func(c Copy) bool { return c.Lag > 0 })},
		{"unknown", copies(func(c Copy) bool { return c.Problem == "" && c.Lag < 0 })},
		{"complete", func(t Topic) bool {
			return !slices.ContainsFunc(t.Copies, func(c Copy) bool { return c.Problem != "" || c.Lag != 0 })
		}},
	},
	Sorts: []Sort[Topic]{
		{"name", func(a, b Topic) int { return strings.Compare(a.Name, b.Name) }},
		{"home", func(a, b Topic) int { return strings.Compare(a.Home, b.Home) }},
		{"partitions", func(a, b Topic) int { return cmp.Compare(a.PartitionCount, b.PartitionCount) }},
		{"records", func(a, b Topic) int { return cmp.Compare(a.Records, b.Records) }},
		{"lag", func(a, b Topic) int { return cmp.Compare(uint64(a.Lag()), uint64(b.Lag())) }}, // unknown is the most
	},
}

// states of groups, as Kafka names them.
var groupStates = []string{"Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Dead"}

// GroupListing is how groups can be listed.
var GroupListing = Listing[Group]{
	Text: func(g Group) []string { return []string{g.Name} },
	States: append(func() (out []State[Group]) {
		for _, s := range groupStates {
			out = append(out, State[Group]{s, func(g Group) bool { return g.State == s }})
		}
		return out
	}(),
		State[Group]{"behind", func(g Group) bool { return g.Lag > 0 }},
		State[Group]{"not-held", func(g Group) bool { return g.Holds(HeldNo) }}),
	Sorts: []Sort[Group]{
		{"name", func(a, b Group) int { return strings.Compare(a.Name, b.Name) }},
		{"home", func(a, b Group) int { return strings.Compare(a.Home, b.Home) }},
		{"lag", func(a, b Group) int { return cmp.Compare(uint64(a.Lag), uint64(b.Lag)) }},
	},
}

// Holds reports that a copy is known to have, or not to have, one of the group's positions.
func (g Group) Holds(h Held) bool {
	for _, p := range g.Positions {
		for _, held := range p.Held {
			if held == h {
				return true
			}
		}
	}
	return false
}

// ClientListing is how sessions can be listed.
var ClientListing = Listing[Client]{
	Text: func(c Client) []string { return []string{c.ClientID, c.Software, c.Address} },
	States: []State[Client]{
		{"busy", func(c Client) bool { return c.InFlight > 0 }},
		{"idle", func(c Client) bool { return c.InFlight == 0 }},
	},
	Sorts: []Sort[Client]{
		{"client_id", func(a, b Client) int { return strings.Compare(a.ClientID, b.ClientID) }},
		{"since", func(a, b Client) int { return a.Since.Compare(b.Since) }},
		{"requests", func(a, b Client) int { return cmp.Compare(a.Requests, b.Requests) }},
		{"bytes_in", func(a, b Client) int { return cmp.Compare(a.BytesIn, b.BytesIn) }},
		{"bytes_out", func(a, b Client) int { return cmp.Compare(a.BytesOut, b.BytesOut) }},
	},
}

// MoveListing is how moves can be listed.
var MoveListing = Listing[failover.Report]{
	Text: func(m failover.Report) []string { return []string{m.Topic, m.ID, m.By, m.From, m.To, m.Error} },
	States: []State[failover.Report]{
		{"open", func(m failover.Report) bool { return m.Ended.IsZero() }},
		{"past", func(m failover.Report) bool { return !m.Ended.IsZero() }},
		{"done", func(m failover.Report) bool { return m.Phase == failover.Done }},
		{"dropped", func(m failover.Report) bool { return m.Phase == failover.Dropped }},
		{"unplanned", func(m failover.Report) bool { return !m.Planned }},
		{"lost", failover.Report.Stands},
	},
	Sorts: []Sort[failover.Report]{
		{"since", func(a, b failover.Report) int { return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID)) }},
		{"topic", func(a, b failover.Report) int { return strings.Compare(a.Topic, b.Topic) }},
		{"pause", func(a, b failover.Report) int { return cmp.Compare(a.PauseMS, b.PauseMS) }},
		{"loss", func(a, b failover.Report) int { return cmp.Compare(a.Lost(), b.Lost()) }},
	},
	Began: func(m failover.Report) time.Time { return m.Since },
}
