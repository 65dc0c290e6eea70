package gateway

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// watched tells of the traffic of topics and clients that the file names.
func (c *collector) watched(v *virtual, m config.Metrics) {
	t := c.table
	topics, clients := v.server.Watched()
	waiting := v.gates.Waiting()
	for name, n := range topics {
		if name == server.Others || names(m.Topics, name) {
			c.add(&t.topicIn, float64(n.In), v.name, name)
			c.add(&t.topicOut, float64(n.Out), v.name, name)
			c.add(&t.topicWaiting, float64(waiting[name]), v.name, name)
		}
	}
	for name, n := range clients {
		if name == server.Others || names(m.Clients, name) {
			c.add(&t.clientRequests, float64(n.Requests), v.name, name)
			c.add(&t.clientIn, float64(n.In), v.name, name)
			c.add(&t.clientOut, float64(n.Out), v.name, name)
		}
	}
}

// groups tells how far behind the groups are that the file names.
func (c *collector) groups(s ownSeries) {
	t := c.table
	for _, l := range s.groups {
		if l.Records < 0 || !utf8.ValidString(l.Group) { // which no label can hold
			continue
		}
		labels := []string{s.virtualCluster, strings.TrimPrefix(l.Group, s.prefix), l.Topic.Name}
		c.add(&t.groupLag, float64(l.Records), labels...)
		switch {
		case l.Records == 0:
			c.add(&t.groupAge, 0, labels...)
		case !l.Oldest.IsZero():
			c.add(&t.groupAge, max(time.Since(l.Oldest).Seconds(), 0), labels...)
		}
		for cluster, n := range l.Copies {
			c.add(&t.groupCopyLag, float64(n), append(labels[:3:3], cluster)...)
		}
	}
}

// standing tells of topics what is known.
func (c *collector) standing(s ownSeries, watch *standing.Watch) {
	t := c.table
	for _, x := range s.topics {
		for p, part := range x.Topic.Partitions {
			c.add(&t.holes, float64(part.Holes()), s.virtualCluster, x.Topic.Name, strconv.Itoa(p))
		}
		for _, k := range x.Copies {
			at := k.Compared
			if k.Problem != "" {
				at = time.Time{}
			}
			c.add(&t.comparedAt, unix(at), s.virtualCluster, x.Topic.Name, k.Cluster)
			c.aligned(watch, s.virtualCluster, x.Topic, k.Cluster)
			for p, y := range k.Partitions {
				labels := []string{s.virtualCluster, x.Topic.Name, strconv.Itoa(p), k.Cluster}
				if y.Known {
					c.add(&t.delta, float64(y.Delta), labels...)
				}
				if y.Lag >= 0 {
					c.add(&t.lag, float64(y.Lag), labels...)
				}
				if y.ComparedFrom >= 0 {
					c.add(&t.comparedFrom, float64(y.ComparedFrom), labels...)
					c.add(&t.comparedTo, float64(y.ComparedTo), labels...)
				}
			}
		}
	}
}

// aligned tells how the partitions of a copy stand, together.
func (c *collector) aligned(watch *standing.Watch, virtualCluster string, topic *catalog.Topic, cluster string) {
	t := c.table
	var runs, unaligned, holes, skips, wrong, age float64
	for p := range topic.Partitions {
		a := watch.Aligned(virtualCluster, topic, cluster, p)
		runs, unaligned, wrong = runs+float64(a.Runs), unaligned+float64(a.Unaligned()), wrong+float64(a.Wrong)
		holes, skips, age = holes+float64(a.Holes), skips+float64(a.Skips), max(age, a.LagSeconds)
	}
	for m, v := range map[*telemetry.Metric]float64{&t.lagAge: age, &t.unaligned: unaligned, &t.runs: runs, &t.copyHoles: holes, &t.copySkips: skips, &t.wrong: wrong} {
		c.add(m, v, virtualCluster, topic.Name, cluster)
	}
}
