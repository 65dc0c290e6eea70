package kafka

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomRequest is a Produce or Fetch with random content, without topics that have no partitions.
func randomRequest(r *rand.Rand, key kmsg.Key, version int16) kmsg.Request {
	m := kmsg.RequestForKey(int16(key))
	random(r, reflect.ValueOf(m).Elem(), 0)
	m.SetVersion(version)
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ProduceRequestTopic) bool { return len(t.Partitions) == 0 })
	case *kmsg.FetchRequest:
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.FetchRequestTopic) bool { return len(t.Partitions) == 0 })
	}
	return m
}

// randomResponse is the answer to a Produce or Fetch with random content, without topics that have
// no partitions.
func randomResponse(r *rand.Rand, key kmsg.Key, version int16) kmsg.Response {
	m := kmsg.ResponseForKey(int16(key))
	random(r, reflect.ValueOf(m).Elem(), 0)
	m.SetVersion(version)
	switch m := m.(type) {
	case *kmsg.ProduceResponse:
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ProduceResponseTopic) bool { return len(t.Partitions) == 0 })
	case *kmsg.FetchResponse:
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.FetchResponseTopic) bool { return len(t.Partitions) == 0 })
		neverNull(m)
	}
	return m
}

// eachVersion runs a test for all versions of Produce and Fetch, several times.
func eachVersion(t *testing.T, run func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16)) {
	r := rand.New(rand.NewPCG(3, 5))
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
		api, _ := Lookup(key)
		for version := range api.MaxVersion + 1 {
			t.Run(fmt.Sprintf("%s %d", api.Name, version), func(t *testing.T) {
				for range 50 {
					run(t, r, key, version)
				}
			})
		}
	}
}

// written is a body as it is sent; it is the same in one piece, and decoded.
func written(t *testing.T, b interface {
	AppendTo(*Out)
	Bytes() []byte
}) []byte {
	t.Helper()
	got := out(b.AppendTo)
	if !bytes.Equal(b.Bytes(), got) {
		t.Errorf("in one piece it is\n%x, want\n%x", b.Bytes(), got)
	}
	return got
}

// TestAnEditedBodyHasAView, which says what the message says.
func TestAnEditedBodyHasAView(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		req, resp := randomRequest(r, key, version), randomResponse(r, key, version)
		a, b := RequestBodyOf(req), ResponseBodyOf(resp)
		if got, want := fmt.Sprint(flatView(a.View())), fmt.Sprint(flatView(NewRequestBody(key, version, req.AppendTo(nil)).View())); got != want {
			t.Errorf("request: got %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(flatResponseView(b.View())), fmt.Sprint(flatResponseView(NewResponseBody(key, version, resp.AppendTo(nil)).View())); got != want {
			t.Errorf("response: got %s, want %s", got, want)
		}
		if got, want := written(t, a), req.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("request: got %x, want %x", got, want)
		}
		if got, want := written(t, b), resp.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("response: got %x, want %x", got, want)
		}
	})
}

// TestPartsOfARequest: they have the partitions that are asked for, each as it was, with what was
// changed before and after.
func TestPartsOfARequest(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		m := randomRequest(r, key, version)
		b := NewRequestBody(key, version, m.AppendTo(nil))
		if len(b.View().Partitions) == 0 {
			return
		}
		b = b.Change()
		whole := func(i int) int { return (i * 7) % 3 }
		last := len(b.View().Partitions) - 1
		if key == kmsg.Fetch {
			b.SetPosition(last, 77, 6)
		} else if b.View().Partitions[last].Records != nil {
			b.SetRecords(last, []byte("others"))
		}
		for part := range 3 {
			var indices []int
			for i := range b.View().Partitions {
				if whole(i) == part {
					indices = append(indices, i)
				}
			}
			c := b.Only(indices)
			if version < 13 && len(indices) > 0 {
				c.SetTopic(0, "renamed")
			}
			if key == kmsg.Fetch {
				c.SetMaxWait(5)
			}
			want := only(m, indices, last, version < 13)
			if got := written(t, c); !bytes.Equal(got, want.AppendTo(nil)) {
				t.Errorf("part %d:\n%x, want\n%x", part, got, want.AppendTo(nil))
			}
			if got, want := fmt.Sprint(flatView(c.View())), fmt.Sprint(flatView(RequestBodyOf(want).View())); got != want {
				t.Errorf("part %d: its view is %s, want %s", part, got, want)
			}
		}
	})
}

// only is TestPartsOfARequest's model.
func only(m kmsg.Request, indices []int, last int, rename bool) kmsg.Request {
	n, first := 0, true
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		c := *m
		c.Topics = nil
		for _, rt := range m.Topics {
			x := rt
			x.Partitions = nil
			for _, p := range rt.Partitions {
				if n == last && p.Records != nil {
					p.Records = []byte("others")
				}
				if slices.Contains(indices, n) {
					x.Partitions = append(x.Partitions, p)
				}
				n++
			}
			if len(x.Partitions) > 0 {
				if first && rename {
					x.Topic = "renamed"
				}
				first = false
				c.Topics = append(c.Topics, x)
			}
		}
		return &c
	case *kmsg.FetchRequest:
		c := *m
		c.Topics, c.MaxWaitMillis = nil, 5
		for _, rt := range m.Topics {
			x := rt
			x.Partitions = nil
			for _, p := range rt.Partitions {
				if n == last {
					p.FetchOffset, p.CurrentLeaderEpoch, p.LastFetchedEpoch = 77, 6, -1
				}
				if slices.Contains(indices, n) {
					x.Partitions = append(x.Partitions, p)
				}
				n++
			}
			if len(x.Partitions) > 0 {
				if first && rename {
					x.Topic = "renamed"
				}
				first = false
				c.Topics = append(c.Topics, x)
			}
		}
		return &c
	}
	return nil
}

// TestFieldsOfARequest are changed as kmsg would.
func TestFieldsOfARequest(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		m := randomRequest(r, key, version)
		b := NewRequestBody(key, version, m.AppendTo(nil)).Change()
		switch m := m.(type) {
		case *kmsg.ProduceRequest:
			if b.View().Transactional {
				b.SetTransactionID("team.tx")
				id := "team.tx"
				m.TransactionID = &id
			}
		case *kmsg.FetchRequest:
			b.SetMaxWait(5)
			m.MaxWaitMillis = 5
			b.ForgetNothing()
			m.ForgottenTopics = nil
			if version >= 11 {
				b.SetRack("far")
				m.Rack = "far"
			}
		}
		if got, want := written(t, b), m.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
	})
}

// TestFieldsOfAnAnswer are changed as kmsg would.
func TestFieldsOfAnAnswer(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		m := randomResponse(r, key, version)
		b := NewResponseBody(key, version, m.AppendTo(nil))
		h := b.View()
		n := 0
		switch m := m.(type) {
		case *kmsg.ProduceResponse:
			m.Brokers = producedEndpoints(elsewhere(h))
			for i := range m.Topics {
				for j := range m.Topics[i].Partitions {
					if p := &m.Topics[i].Partitions[j]; h.Partitions[n].LeaderEpoch >= 0 {
						h.SetLeader(n, 4321, 1234)
						p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 4321, 1234
					}
					n++
				}
			}
		case *kmsg.FetchResponse:
			m.Brokers = fetchedEndpoints(elsewhere(h))
			for i := range m.Topics {
				for j := range m.Topics[i].Partitions {
					p := &m.Topics[i].Partitions[j]
					if h.Partitions[n].PreferredReadReplica >= 0 {
						h.SetPreferredReadReplica(n, 777)
						p.PreferredReadReplica = 777
					}
					if h.Partitions[n].LeaderEpoch >= 0 {
						h.SetLeader(n, 4321, 1234)
						p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 4321, 1234
					}
					h.SetAborted(n, func(first int64) (int64, bool) { return first + 1000, first%3 != 0 })
					var kept, none []kmsg.FetchResponseTopicPartitionAbortedTransaction
					for _, a := range p.AbortedTransactions {
						if a.FirstOffset%3 != 0 {
							a.FirstOffset += 1000
							kept = append(kept, a)
							continue
						}
						a.FirstOffset = math.MaxInt64
						none = append(none, a)
					}
					copy(p.AbortedTransactions, append(kept, none...))
					if n%2 == 1 {
						h.SetRecords(n, []byte("other records"))
						p.RecordBatches = []byte("other records")
					}
					n++
				}
			}
		}
		if got, want := written(t, b), m.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
	})
}

// TestAnswersAreMerged: a topic of several stands once, and what was changed in each before is in
// all.
func TestAnswersAreMerged(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		bodies := make([]*ResponseBody, 3)
		var want []string
		throttle := int32(0)
		var nodes []Endpoint
		for i := range bodies {
			m := randomResponse(r, key, version)
			bodies[i] = NewResponseBody(key, version, m.AppendTo(nil))
			h := bodies[i].View()
			if len(h.Partitions) > 0 && version < 13 {
				h.SetTopic(0, []byte("renamed"))
			}
			throttle = max(throttle, h.ThrottleMillis)
			for _, e := range endpointsOf(m) {
				if !slices.ContainsFunc(nodes, func(o Endpoint) bool { return o.ID == e.ID }) {
					nodes = append(nodes, e)
				}
			}
			for _, p := range h.Partitions {
				want = append(want, answerText(&p))
			}
		}
		bodies[0].Merge(bodies[1:])
		merged := NewResponseBody(key, version, written(t, bodies[0]))
		if err := merged.Clean(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for p := range merged.Partitions() {
			got = append(got, answerText(p))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := merged.View().ThrottleMillis; got != throttle {
			t.Errorf("throttled for %d, want %d", got, throttle)
		}
		msg, err := merged.Peek()
		if err != nil {
			t.Fatal(err)
		}
		if got := endpointsOf(msg); msg.IsFlexible() && !reflect.DeepEqual(got, nodes) {
			t.Errorf("endpoints %v, want %v", got, nodes)
		}
		seen := map[string]int32{}
		for _, p := range merged.View().Partitions {
			topic := fmt.Sprint(string(p.Topic), p.ID)
			if at, twice := seen[topic]; twice && at != p.topic {
				t.Errorf("topic %s stands twice", topic)
			}
			seen[topic] = p.topic
		}
	})
}

func answerText(p *ResponsePartition) string {
	return fmt.Sprint(string(p.Topic), p.ID, p.Partition, p.ErrorCode, p.BaseOffset, p.HighWatermark, p.LogStartOffset, string(p.Records))
}

// elsewhere gives the endpoints of an answer, if it has some, other addresses, and names one twice.
func elsewhere(h *ResponseView) []Endpoint {
	if len(h.Endpoints) == 0 {
		return nil
	}
	rack := "far"
	now := []Endpoint{{ID: 1, Host: "one", Port: 9, Rack: &rack}, {ID: 2, Host: "two", Port: 8}, {ID: 1, Host: "three", Port: 7}}
	h.SetEndpoints(now)
	return now[:2]
}

func producedEndpoints(list []Endpoint) (out []kmsg.ProduceResponseBroker) {
	for _, e := range list {
		out = append(out, kmsg.ProduceResponseBroker{NodeID: e.ID, Host: e.Host, Port: e.Port, Rack: e.Rack})
	}
	return out
}

func fetchedEndpoints(list []Endpoint) (out []kmsg.FetchResponseBroker) {
	for _, e := range list {
		out = append(out, kmsg.FetchResponseBroker{NodeID: e.ID, Host: e.Host, Port: e.Port, Rack: e.Rack})
	}
	return out
}

// endpointsOf are those that a message names.
func endpointsOf(m kmsg.Response) (out []Endpoint) {
	switch m := m.(type) {
	case *kmsg.ProduceResponse:
		for _, b := range m.Brokers {
			out = append(out, Endpoint{b.NodeID, b.Host, b.Port, b.Rack})
		}
	case *kmsg.FetchResponse:
		for _, b := range m.Brokers {
			out = append(out, Endpoint{b.NodeID, b.Host, b.Port, b.Rack})
		}
	}
	return out
}
