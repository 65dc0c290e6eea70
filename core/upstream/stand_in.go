package upstream

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// standsIn reports a node that clients take for others as well: the first of its cluster's range,
// while there are nodes outside of it. What is sent there goes to the leader, or the coordinator,
// that it is meant for.
func (c *Cluster) standsIn(node int32) bool {
	r := c.cfg.Nodes
	b := c.Topology().Brokers // by id
	return node == r.First && len(b) > 0 && (b[0].ID < r.First || b[len(b)-1].ID > r.Last)
}

// toMany reports a request to an address that stands for several nodes.
func (c *Cluster) toMany(req *plugin.Request) bool {
	return req.Session.Cluster == c.cfg.Name && c.standsIn(req.Session.Node)
}

// ofMany reports a request for what a node has, to several.
func (c *Cluster) ofMany(req *plugin.Request) bool {
	switch req.Key {
	case kmsg.ListGroups, kmsg.ListTransactions, kmsg.DescribeLogDirs:
		return c.toMany(req)
	}
	return false
}

// ofAll asks the first node of the range, and all for which it stands, what each has, and answers
// with everything.
func (e *Dispatcher) ofAll(ctx context.Context, req *plugin.Request, c *Cluster) (*plugin.Response, error) {
	if _, err := req.Body.Peek(); err != nil { // the forks share it
		return nil, err
	}
	var nodes []int32
	for _, b := range c.Topology().Brokers {
		if c.inRange(b.ID) == c.cfg.Nodes.First && !c.down(b.ID) {
			nodes = append(nodes, b.ID)
		}
	}
	if len(nodes) == 0 {
		return e.anyNode(ctx, req, c)
	}
	forks := req.Fork(len(nodes), "node")
	for i, node := range nodes {
		forks[i].Target = plugin.Target{Cluster: c.cfg.Name, Node: node}
	}
	resp, err := fork.Gather(forks, fork.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		return e.exchange(ctx, f, c, f.Target.Node)
	})))
	if err != nil || req.Key != kmsg.DescribeLogDirs {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.DescribeLogDirsResponse)
	m.Dirs = oneNode(m.Dirs)
	return resp, nil
}

// oneNode joins folders of the same name, which nodes may have each: clients take the last of a
// name for the node's only one.
func oneNode(dirs []kmsg.DescribeLogDirsResponseDir) (out []kmsg.DescribeLogDirsResponseDir) {
	for _, d := range dirs {
		i := slices.IndexFunc(out, func(o kmsg.DescribeLogDirsResponseDir) bool { return o.Dir == d.Dir })
		if i < 0 {
			out = append(out, d)
			continue
		}
		o := &out[i]
		if o.ErrorCode == 0 {
			o.ErrorCode = d.ErrorCode
		}
		o.Topics = append(o.Topics, d.Topics...)
		if o.TotalBytes >= 0 && d.TotalBytes >= 0 {
			o.TotalBytes += d.TotalBytes
		}
		if o.UsableBytes >= 0 && d.UsableBytes >= 0 {
			o.UsableBytes += d.UsableBytes
		}
	}
	return out
}

// anyRack leaves the client's rack out of a Fetch. A leader that knows it names the replica to ask
// instead (KIP-392), which may be the one that the client has come to, and answers with records
// only who asks from nowhere.
func (c *Cluster) anyRack(req *plugin.Request) *plugin.Request {
	if !kafka.Has(req.Key, req.Version, kafka.Racks) || req.Key != kmsg.Fetch || !c.toMany(req) {
		return req
	}
	if len(req.Body.View().Rack) == 0 {
		return req
	}
	f := req.Change()
	f.Body.SetRack("")
	return f
}
