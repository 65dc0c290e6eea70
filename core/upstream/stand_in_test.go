package upstream

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// outside is a cluster of node 0, 1 and 70, of which the last is outside of the range and leads
// partition 2 of orders, and an end.
func outside(t *testing.T) (*fakes, *Dispatcher) {
	t.Helper()
	f := newFakes(t, 0, 1, 70)
	f.topics["orders"] = []int32{0, 1, 70}
	c := f.known()
	c.cfg.Nodes = config.Nodes{First: 0, Last: 9}
	return f, end(c)
}

// toLeader is a produce that nobody has given a node to.
func toLeader(s *plugin.Session, partition int32, acks int16) *plugin.Request {
	req := produce(s, partition, acks)
	req.Target.Node = plugin.AnyNode
	return req
}

// TestANodeOutsideIsReachedByTheFirst: clients are told that the first node of the range leads what
// the one outside leads.
func TestANodeOutsideIsReachedByTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := outside(t)
		fetch := newest(kmsg.Fetch).(*kmsg.FetchRequest)
		fetch.SetVersion(12)
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition = 2
		fetch.Rack, fetch.Topics = "here", []kmsg.FetchRequestTopic{{Topic: "orders", Partitions: []kmsg.FetchRequestTopicPartition{part}}}
		for name, make := range map[string]func(s *plugin.Session) *plugin.Request{
			"produce":         func(s *plugin.Session) *plugin.Request { return toLeader(s, 2, -1) },
			"produce, acks=0": func(s *plugin.Session) *plugin.Request { return toLeader(s, 2, 0) },
			"fetch":           func(s *plugin.Session) *plugin.Request { return request(s, fetch) },
			"offsets":         func(s *plugin.Session) *plugin.Request { return listOffsets(s, 2) },
		} {
			before := len(f.broker(70).keys())
			if _, err := e.Handle(t.Context(), make(session(t, 0))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(f.broker(70).keys()) - before; n != 1 {
				t.Errorf("%s: arrived %d times, at the first %v", name, n, f.broker(0).keys())
			}
			done := 0
			start(t, e, make(session(t, 0)), true, func(_ *plugin.Response, err error) {
				if done++; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			if synctest.Wait(); done != 1 || len(f.broker(70).keys())-before != 2 {
				t.Errorf("%s, as it came: ended %d times, %d arrived", name, done, len(f.broker(70).keys())-before)
			}
		}
		for _, m := range f.broker(70).got {
			if m, ok := m.(*kmsg.FetchRequest); ok && m.Rack != "" {
				t.Error("the leader would name another replica")
			}
		}
		if _, err := e.Handle(t.Context(), toLeader(session(t, 0), 0, -1)); err != nil || len(f.broker(0).keys()) != 1 {
			t.Errorf("what the first one leads: %v, %v", err, f.broker(0).keys())
		}
		if _, err := e.Handle(t.Context(), toLeader(session(t, 1), 2, -1)); err != nil || len(f.broker(1).keys()) != 1 {
			t.Errorf("a node of the range stands for itself: %v, %v", err, f.broker(1).keys())
		}
	})
}

// TestTheFirstAnswersForThoseOutside what each of them alone knows: clients ask each node that they
// know of.
func TestTheFirstAnswersForThoseOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := outside(t)
		f.all(func(b *broker) {
			b.on = func(a *arrived) bool {
				if m, ok := a.msg.(*kmsg.DescribeLogDirsRequest); ok {
					r := m.ResponseKind().(*kmsg.DescribeLogDirsResponse)
					d := kmsg.NewDescribeLogDirsResponseDir()
					d.Dir, d.TotalBytes, d.UsableBytes = "/data", int64(70), int64(b.id)
					if b.id > 0 {
						d.UsableBytes = 1
					}
					d.Topics = []kmsg.DescribeLogDirsResponseDirTopic{{Topic: fmt.Sprintf("topic-%d", b.id)}}
					r.Dirs = append(r.Dirs, d)
					a.answer(r)
					return true
				}
				m, ok := a.msg.(*kmsg.ListGroupsRequest)
				if ok {
					r := m.ResponseKind().(*kmsg.ListGroupsResponse)
					r.Groups = []kmsg.ListGroupsResponseGroup{{Group: fmt.Sprintf("group-%d", b.id)}}
					a.answer(r)
				}
				return ok
			}
		})
		dirs, err := e.Handle(t.Context(), request(session(t, 0), newest(kmsg.DescribeLogDirs)))
		if err != nil {
			t.Fatal(err)
		}
		msg, err := dirs.Body.Peek()
		if err != nil {
			t.Fatal(err)
		}
		{
			d := msg.(*kmsg.DescribeLogDirsResponse).Dirs
			about := fact.Of(t, "folders %+v", d)
			if fact.Equal(about, "len(d)", len(d), 1) {
				fact.Equal(about, "d[0].TotalBytes", d[0].TotalBytes, 140)
				fact.Equal(about, "d[0].UsableBytes", d[0].UsableBytes, 1)
				fact.Equal(about, "len(d[0].Topics)", len(d[0].Topics), 2)
			}
		}
		list := func(ctx context.Context, node int32) (out []string) {
			t.Helper()
			resp, err := e.Handle(ctx, request(session(t, node), newest(kmsg.ListGroups)))
			if err != nil {
				t.Fatal(err)
			}
			msg, err := resp.Body.Peek()
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range msg.(*kmsg.ListGroupsResponse).Groups {
				out = append(out, g.Group)
			}
			slices.Sort(out)
			return out
		}
		if got, want := list(t.Context(), 0), []string{"group-0", "group-70"}; !slices.Equal(got, want) {
			t.Errorf("the first has %v, want %v", got, want)
		}
		if got, want := list(t.Context(), 1), []string{"group-1"}; !slices.Equal(got, want) {
			t.Errorf("another one has %v, want %v", got, want)
		}
	})
}
