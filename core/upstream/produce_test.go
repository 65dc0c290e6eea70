package upstream

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// produce is a produce of one batch to a partition of orders, which fakes' brokers answer.
func produce(s *plugin.Session, node int32, acks int16) *plugin.Request {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	m.Acks = acks
	topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = node, []byte("records")
	topic.Topic, topic.Partitions = "orders", append(topic.Partitions, part)
	m.Topics = append(m.Topics, topic)
	req := request(s, m)
	req.Target = plugin.Target{Cluster: "prod", Node: node}
	return req
}

// house is two brokers that lead a partition of orders each, and the end of a chain above them.
func house(t *testing.T) (*fakes, *Dispatcher) {
	f := newFakes(t, 0, 1)
	f.topics["orders"] = []int32{0, 1}
	return f, end(f.known())
}

func (f *fakes) cut(keys ...kmsg.Key) func(*arrived) bool {
	return func(a *arrived) bool { return slices.Contains(keys, a.Key) && a.cut() }
}

// passes reports whether a produce of the session reaches a node and is answered.
func passes(t *testing.T, f *fakes, e *Dispatcher, s *plugin.Session, node int32) bool {
	t.Helper()
	before := len(f.broker(node).keys())
	resp, err := e.Handle(t.Context(), produce(s, node, -1))
	plugin.Settle(err)
	if arrived := len(f.broker(node).keys()) - before; arrived == 1 && err == nil && resp != nil {
		return true
	} else if arrived != 0 || !errors.Is(err, plugin.ErrUnreachable) || plugin.MaybeSent(err) {
		t.Errorf("%d arrived, %v", arrived, err)
	}
	return false
}

// TestAFailedProduceStopsLaterOnes: none of the session overtakes it, on any link, until it is back
// in its place. Others go on.
func TestAFailedProduceStopsLaterOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		s := session(t, 0)
		if !passes(t, f, e, s, 1) {
			t.Fatal("not at first")
		}
		for range 2 { // the second time, the first must not have been settled twice
			f.broker(0).set(func(b *broker) { b.on = f.cut(kmsg.Produce) })
			_, err := e.Handle(t.Context(), produce(s, 0, -1))
			if !plugin.MaybeSent(err) {
				t.Fatalf("cut: %v", err)
			}
			f.broker(0).set(func(b *broker) { b.on = nil })
			for range 2 {
				if passes(t, f, e, s, 0) || passes(t, f, e, s, 1) {
					t.Error("a later produce overtook the one that failed")
				}
			}
			if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
				t.Errorf("another request: %v", err)
			}
			if !passes(t, f, e, session(t, 0), 0) {
				t.Error("another session is stopped")
			}
			plugin.Settle(err)
			plugin.Settle(err)
			if !passes(t, f, e, s, 0) || !passes(t, f, e, s, 1) {
				t.Error("stopped after it was settled")
			}
		}
	})
}

// TestAllFailedProducesMustSettle: of several on a link that breaks the last one counts too.
func TestAllFailedProducesMustSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		s := session(t, 0)
		b := f.broker(0)
		b.set(func(b *broker) { b.frozen = true })
		var failed []error
		for range 3 {
			start(t, e, produce(s, 0, -1), true, func(_ *plugin.Response, err error) { failed = append(failed, err) })
		}
		synctest.Wait()
		b.kill()
		synctest.Wait()
		b.set(func(b *broker) { b.frozen, b.down = false, false })
		if len(failed) != 3 || !plugin.MaybeSent(errors.Join(failed...)) {
			t.Fatal(failed)
		}
		for _, err := range failed {
			_, refused := e.Handle(t.Context(), produce(s, 0, -1))
			if refused == nil {
				t.Fatal("sent before all were settled")
			}
			plugin.Settle(refused)
			if passes(t, f, e, s, 1) {
				t.Error("sent before all were settled")
			}
			plugin.Settle(err)
		}
		if !passes(t, f, e, s, 0) {
			t.Error("stopped after all were settled")
		}
	})
}

// TestEveryWayToFailIsCounted: a produce that no broker can have seen as well.
func TestEveryWayToFailIsCounted(t *testing.T) {
	for name, fail := range map[string]func(*rig){
		"dial":                 func(r *rig) { r.up <- errors.New("refused") },
		"broken link":          func(r *rig) { r.up <- nil; _ = r.far.Close() },
		"closed":               func(r *rig) { _ = r.link.Close() },
		"wrong correlation id": func(r *rig) { r.up <- nil; r.write(heartbeatReply(9, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.link.unsettled = &atomic.Int32{}
				count := func(want int32) {
					t.Helper()
					synctest.Wait()
					if got := r.link.unsettled.Load(); got != want {
						t.Errorf("%d unsettled, want %d", got, want)
					}
				}
				r.link.send(r.call("a", kmsg.Produce), true)
				r.link.send(r.call("b", kmsg.Produce), true)
				r.link.send(r.call("other", kmsg.Heartbeat), true)
				count(0)
				fail(r)
				count(2)
				r.link.send(r.call("late", kmsg.Produce), true)
				count(3)
				r.link.send(r.call("late other", kmsg.Heartbeat), true)
				for i, end := range r.once("a", "b", "late", "other", "late other") {
					plugin.Settle(end.err)
					count(max(2-int32(i), 0))
				}
			})
		})
	}
}

// TestAcksZeroOverADeadNode reaches whoever sent it, through the end of the chain.
func TestAcksZeroOverADeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.broker(0).kill()
		if _, err := e.Handle(t.Context(), produce(session(t, 0), 0, 0)); !errors.Is(err, plugin.ErrUnreachable) {
			t.Errorf("waited for: %v", err)
		}
		var told error
		start(t, e, produce(session(t, 0), 0, 0), true, func(_ *plugin.Response, err error) { told = err })
		if synctest.Wait(); !errors.Is(told, plugin.ErrUnreachable) {
			t.Errorf("started: %v", told)
		}
	})
}

// refuse answers a produce with a code.
func (a *arrived) refuse(code int16) bool {
	body, err := kafka.ErrorResponse(kafka.RequestBodyOf(a.msg), kafka.Code(code), "")
	if err != nil {
		return false
	}
	msg, err := body.Peek()
	if err == nil {
		a.answer(msg)
	}
	return err == nil
}

// TestAcksZeroIsSentWithAcksOne, whatever has been done to it on its way, so that what the broker
// says of it is heard. The client's request stays as it is.
func TestAcksZeroIsSentWithAcksOne(t *testing.T) {
	id := "a transaction"
	for name, change := range map[string]func(*plugin.Request) *plugin.Request{
		"as it came": func(r *plugin.Request) *plugin.Request { return r },
		"edited": func(r *plugin.Request) *plugin.Request {
			f, _, _ := plugin.Edit[*kmsg.ProduceRequest](r)
			return f
		},
		"changed in place": func(r *plugin.Request) *plugin.Request {
			r.Body.View()
			f := r.Change()
			f.Body.SetID(0, topicID("other"))
			return f
		},
	} {
		for _, version := range []int16{3, 9, 13} {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, e := house(t)
					f.broker(0).set(func(b *broker) {
						b.on = func(a *arrived) bool { return a.Key == kmsg.Produce && a.refuse(6) }
					})
					m := newest(kmsg.Produce).(*kmsg.ProduceRequest)
					m.SetVersion(version)
					m.TransactionID, m.Acks = &id, 0
					m.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", TopicID: topicID("orders"), Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("records")}}}}
					first := request(session(t, 0), m)
					before := slices.Clone(first.Body.Bytes())
					resp, err := e.Handle(t.Context(), change(first))
					if err != nil {
						t.Fatal(err)
					}
					if code := resp.Body.ErrorCode(); code != 6 {
						t.Errorf("answered %d", code)
					}
					if got := f.broker(0).got[0].(*kmsg.ProduceRequest); got.Acks != 1 {
						t.Errorf("sent with acks=%d", got.Acks)
					}
					if got := f.broker(0).got[0].(*kmsg.ProduceRequest); string(got.Topics[0].Partitions[0].Records) != "records" || *got.TransactionID != id {
						t.Errorf("sent %+v", got)
					}
					if !slices.Equal(first.Body.Bytes(), before) {
						t.Error("the client's request was changed")
					}
				})
			})
		}
	}
}

// TestALinkThatBreaksMeanwhile, after it was chosen, ends the produce once, and is told for acks=0
// too.
func TestALinkThatBreaksMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e := house(t)
		s := session(t, 0)
		for _, acks := range []int16{0, 0, -1} {
			l, err := e.link(s, kmsg.Produce, e.clusters[0], 0)
			if err != nil {
				t.Fatal(err)
			}
			l.writer.Fail(errors.New("test"))
			n := 0
			start(t, e, produce(s, 0, acks), true, func(_ *plugin.Response, err error) {
				if n++; !errors.Is(err, plugin.ErrUnreachable) || plugin.MaybeSent(err) {
					t.Error(err)
				}
				plugin.Settle(err)
			})
			if n != 1 {
				t.Errorf("ended %d times", n)
			}
		}
	})
}

// TestAProduceWaitsForItsLeader: one that goes to whoever leads is not sent to somebody who does
// not.
func TestAProduceWaitsForItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		s := session(t, plugin.AnyNode)
		send := func() error {
			req := produce(s, 1, -1)
			req.Target.Node = plugin.AnyNode
			_, err := e.Handle(t.Context(), req)
			plugin.Settle(err)
			return err
		}
		if err := send(); err != nil || len(f.broker(1).keys()) != 1 {
			t.Fatalf("%v, %v", err, f.broker(1).keys())
		}
		byID := newest(kmsg.Produce).(*kmsg.ProduceRequest)
		byID.Acks = -1
		byID.Topics = []kmsg.ProduceRequestTopic{{TopicID: topicID("orders"), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1, Records: []byte("records")}}}}
		asked := f.broker(0).asked + f.broker(1).asked
		if _, err := e.Handle(t.Context(), request(s, byID)); err != nil || len(f.broker(1).keys()) != 2 {
			t.Fatalf("by id: %v, %v", err, f.broker(1).keys())
		}
		if f.broker(0).asked+f.broker(1).asked != asked {
			t.Error("the cluster is asked for a leader that is known")
		}
		// The topic is new to the gateway: the cluster is asked who leads it.
		e.clusters[0].topology.Store(&plugin.Topology{Brokers: e.clusters[0].Topology().Brokers})
		if err := send(); err != nil || len(f.broker(1).keys()) != 3 {
			t.Fatalf("%v, %v", err, f.broker(1).keys())
		}
		f.list(func() { f.topics["orders"] = []int32{1, -1} })
		_, _ = e.clusters[0].Refresh(t.Context())
		if err := send(); !errors.Is(err, plugin.ErrUnreachable) || plugin.MaybeSent(err) {
			t.Errorf("without a leader: %v", err)
		}
		if n := len(f.broker(0).keys()) + len(f.broker(1).keys()); n != 3 {
			t.Errorf("%d produces arrived", n)
		}
		// What the cluster itself does not know, a broker says.
		f.list(func() { delete(f.topics, "orders") })
		_, _ = e.clusters[0].Refresh(t.Context())
		if err := send(); err != nil {
			t.Error(err)
		}
	})
}
