package upstream

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// listOffsets asks for partitions of orders.
func listOffsets(s *plugin.Session, partitions ...int32) *plugin.Request {
	m := newest(kmsg.ListOffsets).(*kmsg.ListOffsetsRequest)
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "orders"
	for _, n := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition = n
		topic.Partitions = append(topic.Partitions, p)
	}
	m.Topics = append(m.Topics, topic)
	return request(s, m)
}

// offsets answers ListOffsets with the broker's number as the offset, and counts what was asked.
func offsets(asked map[string]int) func(*arrived) bool {
	return func(a *arrived) bool {
		m, ok := a.msg.(*kmsg.ListOffsetsRequest)
		if !ok {
			return false
		}
		r := m.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range m.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.Offset = p.Partition, int64(a.b.id)
				rt.Partitions = append(rt.Partitions, rp)
				a.b.set(func(b *broker) { asked[fmt.Sprint(b.id, "/", p.Partition)]++ })
			}
			r.Topics = append(r.Topics, rt)
		}
		a.answer(r)
		return true
	}
}

// offsetsOf lists partition:offset, or partition!code, of an answer.
func offsetsOf(t *testing.T, resp *plugin.Response, err error) (out []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	msg, err := resp.Body.Peek()
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range msg.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range rt.Partitions {
			if p.ErrorCode != 0 {
				out = append(out, fmt.Sprint(p.Partition, "!", p.ErrorCode))
			} else {
				out = append(out, fmt.Sprint(p.Partition, ":", p.Offset))
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestRequestsAreSplitByLeader on a bootstrap connection: every leader is asked for its own
// partitions, and the client sees one answer. One dead node costs its own partitions alone.
func TestRequestsAreSplitByLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		f.topics["orders"] = []int32{0, 1, 0, 1}
		e := end(f.known())
		asked := [2]map[string]int{{}, {}}
		for i, b := range f.brokers {
			b.on = offsets(asked[i])
		}
		s := session(t, plugin.AnyNode)
		resp, err := e.Handle(t.Context(), listOffsets(s, 0, 1, 2, 3))
		if got := offsetsOf(t, resp, err); !slices.Equal(got, []string{"0:0", "1:1", "2:0", "3:1"}) {
			t.Error(got)
		}
		if len(asked[0]) != 2 || len(asked[1]) != 2 || f.arrivals(kmsg.ListOffsets) != 2 {
			t.Error(asked)
		}
		f.broker(1).kill()
		resp, err = e.Handle(t.Context(), listOffsets(s, 0, 1))
		if got := offsetsOf(t, resp, err); !slices.Equal(got, []string{"0:0", "1!6"}) {
			t.Error(got)
		}
	})
}

// TestRequestsFollowTheLeader: a request whose node dies goes to who leads now.
func TestRequestsFollowTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		for _, b := range f.brokers {
			b.on = offsets(map[string]int{})
		}
		f.broker(1).kill()
		time.AfterFunc(2*time.Second, func() { f.list(func() { f.topics["orders"][1] = 0 }) })
		resp, err := e.Handle(t.Context(), listOffsets(session(t, 1), 1))
		if got := offsetsOf(t, resp, err); !slices.Equal(got, []string{"1:0"}) {
			t.Error(got)
		}
	})
}

// TestWithoutALeader: what has no leader waits while nobody answers; else a broker says which it
// is.
func TestWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.on = offsets(map[string]int{}) })
		s := session(t, plugin.AnyNode)
		resp, err := e.Handle(t.Context(), listOffsets(s, 7))
		if got := offsetsOf(t, resp, err); !slices.Equal(got, []string{"7:0"}) {
			t.Error(got)
		}
		e.clusters[0].setReachable(false, errors.New("test"))
		began := time.Now()
		_, err = e.Handle(t.Context(), listOffsets(s, 7))
		if !errors.Is(err, plugin.ErrUnreachable) || plugin.MaybeSent(err) || time.Since(began) != e.limit {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestRequestsOfAGroupGoToItsCoordinator, which is looked up until there is one.
func TestRequestsOfAGroupGoToItsCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		answers := 0
		f.all(func(b *broker) {
			b.on = func(a *arrived) bool {
				m, ok := a.msg.(*kmsg.FindCoordinatorRequest)
				if !ok {
					return false
				}
				if m.CoordinatorType != kafka.GroupCoordinator || len(m.CoordinatorKeys) != 1 || m.CoordinatorKeys[0] != "app" {
					t.Errorf("asked for %d %v", m.CoordinatorType, m.CoordinatorKeys)
				}
				c := kmsg.NewFindCoordinatorResponseCoordinator()
				c.Key, c.NodeID = "app", 1
				if answers++; answers <= 3 {
					c.NodeID, c.ErrorCode = -1, 15
				}
				r := kmsg.NewPtrFindCoordinatorResponse()
				r.Coordinators = append(r.Coordinators, c)
				a.answer(r)
				return true
			}
		})
		m := newest(kmsg.Heartbeat).(*kmsg.HeartbeatRequest)
		m.Group = "app"
		if _, err := e.Handle(t.Context(), request(session(t, plugin.AnyNode), m)); err != nil {
			t.Fatal(err)
		}
		if answers != 4 || !slices.Equal(f.broker(1).keys(), []kmsg.Key{kmsg.Heartbeat}) {
			t.Errorf("%d lookups, %v", answers, f.broker(1).keys())
		}
	})
}

// TestRequestsForTheControllerGoThere, from sessions that have no node of their own.
func TestRequestsForTheControllerGoThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 3, 1) // the first is the controller
		e := end(f.known())
		if _, err := e.Handle(t.Context(), request(session(t, plugin.AnyNode), newest(kmsg.DeleteTopics))); err != nil {
			t.Fatal(err)
		}
		if _, err := e.clusters[0].Do(t.Context(), plugin.AnyNode, kmsg.NewPtrDeleteTopicsRequest()); err != nil {
			t.Fatal(err)
		}
		if got := f.broker(3).keys(); len(got) != 2 {
			t.Errorf("%v, %v", got, f.broker(1).keys())
		}
	})
}

// TestAForkedFetchHasLittlePatience: a node without records holds up those of another only for a
// moment. One that goes to a single node waits as long as its client wants.
func TestAForkedFetchHasLittlePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) {
			b.on = func(a *arrived) bool {
				m, ok := a.msg.(*kmsg.FetchRequest)
				if !ok {
					return false
				}
				resp := m.ResponseKind().(*kmsg.FetchResponse)
				topic, part := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
				if part.Partition = m.Topics[0].Partitions[0].Partition; part.Partition == 0 {
					part.RecordBatches = []byte("records")
				} else {
					time.Sleep(time.Duration(m.MaxWaitMillis) * time.Millisecond)
				}
				topic.Topic, topic.Partitions = "orders", append(topic.Partitions, part)
				resp.Topics = append(resp.Topics, topic)
				a.answer(resp)
				return true
			}
		})
		fetch := func(partitions ...int32) (took time.Duration, parts int) {
			m := kmsg.NewPtrFetchRequest()
			m.SetVersion(11)
			m.MaxWaitMillis = 5000
			topic := kmsg.NewFetchRequestTopic()
			topic.Topic = "orders"
			for _, n := range partitions {
				p := kmsg.NewFetchRequestTopicPartition()
				p.Partition = n
				topic.Partitions = append(topic.Partitions, p)
			}
			m.Topics = append(m.Topics, topic)
			began := time.Now()
			resp, err := e.Handle(t.Context(), request(session(t, plugin.AnyNode), m))
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(began), len(resp.Body.View().Partitions)
		}
		if took, parts := fetch(0, 1); took > time.Second || parts != 2 {
			t.Errorf("forked: %d partitions after %s", parts, took)
		}
		if took, _ := fetch(1); took != 5*time.Second {
			t.Errorf("not forked: after %s", took)
		}
	})
}
