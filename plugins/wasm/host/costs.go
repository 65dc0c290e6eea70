package host

import "time"

// Costs are what a guest has cost.
type Costs struct {
	Calls, Failures, Replaced int64
	Busy                      time.Duration // in calls, the wait for an instance included
	DroppedLines              int           // of the log
	// Opened and Closed count how often the guest was left alone with something, and how often that
	// has ended.
	Opened, Closed int64
}

// Add adds what another one has cost.
func (c *Costs) Add(o Costs) {
	c.Calls += o.Calls
	c.Failures += o.Failures
	c.Replaced += o.Replaced
	c.Busy += o.Busy
	c.DroppedLines += o.DroppedLines
	c.Opened += o.Opened
	c.Closed += o.Closed
}

// Costs are what the guest has cost until now.
func (g *Guest) Costs() Costs {
	return Costs{
		Calls: g.Called.Load(), Failures: g.Failed.Load(), Replaced: g.Replaced.Load(), Busy: time.Duration(g.Busy.Load()),
		DroppedLines: g.lines.lost(), Opened: g.breakers.Opened.Load(), Closed: g.breakers.Closed.Load(),
	}
}

// LeftAlone is with how many clients' partitions and APIs the guest is left alone now.
func (g *Guest) LeftAlone() int { return g.breakers.Left(time.Now()) }
