package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// broker answers full fetches; it is what the chain of these tests ends in.
type broker struct {
	t    *testing.T
	mu   sync.Mutex
	seen string // what the last request named
	high map[string]int64
	code map[string]int16
	data map[string]string
	wait chan struct{} // nil: answers at once
}

func topicOf(version int16, name string) (string, [16]byte) {
	if version >= 13 {
		return "", [16]byte{name[0]}
	}
	return name, [16]byte{}
}

func nameOf(topic string, id [16]byte) string {
	if topic == "" {
		return string(id[:1])
	}
	return topic
}

func (b *broker) run(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	f := msg.(*kmsg.FetchRequest)
	if f.SessionID != 0 || f.SessionEpoch != -1 {
		b.t.Errorf("the chain sees session %d, epoch %d", f.SessionID, f.SessionEpoch)
	}
	b.mu.Lock()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = f.Version
	var seen []string
	for _, t := range f.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			name := fmt.Sprintf("%s/%d", nameOf(t.Topic, t.TopicID), p.Partition)
			seen = append(seen, fmt.Sprintf("%s@%d", name, p.FetchOffset))
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark, rp.ErrorCode, rp.RecordBatches = p.Partition, b.high[name], b.code[name], []byte(b.data[name])
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	b.seen = strings.Join(seen, " ")
	wait := b.wait
	b.mu.Unlock()
	turn.Give(req.Turn())
	if wait != nil {
		<-wait
	}
	if b.code["all"] != 0 {
		return nil, plugin.ErrUnreachable
	}
	return plugin.Respond(resp), nil
}

func newBroker(t *testing.T) *broker {
	return &broker{t: t, high: map[string]int64{}, code: map[string]int16{}, data: map[string]string{}}
}

// fetch makes a request; names are such as "a/0@7", or "-a/0" for one to forget.
func fetch(version int16, id, epoch int32, names string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	req.SessionID, req.SessionEpoch = id, epoch
	for _, n := range strings.Fields(names) {
		n, forgotten := strings.CutPrefix(n, "-")
		topic, n, _ := strings.Cut(n, "/")
		var partition int32
		var offset int64
		_, _ = fmt.Sscanf(n, "%d@%d", &partition, &offset)
		name, topicID := topicOf(version, topic)
		if forgotten {
			t := kmsg.NewFetchRequestForgottenTopic()
			t.Topic, t.TopicID, t.Partitions = name, topicID, []int32{partition}
			req.ForgottenTopics = append(req.ForgottenTopics, t)
			continue
		}
		t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset = partition, offset
		t.Topic, t.TopicID, t.Partitions = name, topicID, append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

func (c *client) fetched(version int16) (*kmsg.FetchResponse, string) {
	c.t.Helper()
	_, msg := c.receive(kmsg.Fetch, version)
	resp := msg.(*kmsg.FetchResponse)
	var told []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			told = append(told, fmt.Sprintf("%s/%d:%d", nameOf(t.Topic, t.TopicID), p.Partition, p.ErrorCode))
		}
	}
	return resp, strings.Join(told, " ")
}

// TestFetchSessionCases runs the cases of KIP-227 in one session, by name and by topic id.
func TestFetchSessionCases(t *testing.T) {
	const (
		none  = iota // the answer has session id 0
		same         // that of before
		fresh        // another one
	)
	steps := []struct {
		what    string
		unknown bool  // the id is not the session's
		noID    bool  // the id is 0
		epoch   int32 // of the request; 99 is the one that is due
		names   string
		prepare func(*broker)
		code    int16
		session int
		seen    string // what the chain sees, "" if nothing
		told    string
	}{
		{what: "without a session", noID: true, epoch: -1, names: "a/0@1", seen: "a/0@1", told: "a/0:0"},
		{what: "an epoch without a session", unknown: true, epoch: 1, code: 70},
		{what: "id 0 with an epoch", noID: true, epoch: 1, code: 70},
		{what: "a full fetch begins one", noID: true, names: "a/0@1 a/1@1 b/0@1", session: fresh, seen: "a/0@1 a/1@1 b/0@1", told: "a/0:0 a/1:0 b/0:0"},
		{what: "nothing is new", epoch: 99, session: same, seen: "a/0@1 a/1@1 b/0@1"},
		{what: "another id", unknown: true, epoch: 2, code: 70},
		{what: "an old epoch", epoch: 1, code: 71},
		{what: "an epoch too far", epoch: 50, code: 71},
		{what: "the session survives both", epoch: 99, session: same, seen: "a/0@1 a/1@1 b/0@1"},
		{what: "a watermark", epoch: 99, session: same, prepare: func(b *broker) { b.high["a/1"] = 4 }, seen: "a/0@1 a/1@1 b/0@1", told: "a/1:0"},
		{what: "records, after which a partition is asked last", epoch: 99, session: same, prepare: func(b *broker) { b.data["a/0"] = "x" }, seen: "a/0@1 a/1@1 b/0@1", told: "a/0:0"},
		{what: "its new position", epoch: 99, names: "a/0@2", session: same, prepare: func(b *broker) { b.data["a/0"] = "" }, seen: "a/1@1 b/0@1 a/0@2"},
		{what: "an unknown topic stays", epoch: 99, names: "c/0@0", session: same, prepare: func(b *broker) { b.code["c/0"] = 3 }, seen: "a/1@1 b/0@1 a/0@2 c/0@0", told: "c/0:3"},
		{what: "and repeats its error", epoch: 99, session: same, seen: "a/1@1 b/0@1 a/0@2 c/0@0", told: "c/0:3"},
		{what: "forgotten, with others that nobody knows", epoch: 99, names: "-c/0 -c/7 -d/0 -a/1", session: same, seen: "b/0@1 a/0@2"},
		{what: "an error that ends is told", epoch: 99, session: same, prepare: func(b *broker) { b.code["b/0"] = 6 }, seen: "b/0@1 a/0@2", told: "b/0:6"},
		{what: "once", epoch: 99, session: same, prepare: func(b *broker) { b.code["b/0"] = 0 }, seen: "b/0@1 a/0@2", told: "b/0:0"},
		{what: "and not twice", epoch: 99, session: same, seen: "b/0@1 a/0@2"},
		{what: "nobody can answer: nothing is told", epoch: 99, session: same, prepare: func(b *broker) { b.code["all"] = 1 }, seen: "b/0@1 a/0@2"},
		{what: "named and forgotten", epoch: 99, names: "d/0@0 -d/0", session: same, prepare: func(b *broker) { delete(b.code, "all") }, seen: "b/0@1 a/0@2"},
		{what: "a full fetch takes the place of the session", epoch: 0, names: "b/1@0", session: fresh, seen: "b/1@0", told: "b/1:0"},
		{what: "whose epoch is 1", epoch: 99, names: "b/2@0", session: same, seen: "b/1@0 b/2@0", told: "b/2:0"},
		{what: "an unknown id does no harm to an end", unknown: true, epoch: -1, names: "b/1@0", seen: "b/1@0", told: "b/1:0"},
		{what: "nor to the session", epoch: 99, session: same, seen: "b/1@0 b/2@0"},
		{what: "the end", epoch: -1, names: "b/1@9", seen: "b/1@9", told: "b/1:0"},
		{what: "is one", epoch: 99, code: 70},
		{what: "a session of nothing", noID: true, session: fresh},
		{what: "grows", epoch: 99, names: "a/0@0", session: same, seen: "a/0@0", told: "a/0:0"},
		{what: "and ends when it is empty", epoch: 99, names: "-a/0"},
		{what: "as brokers do it", epoch: 99, code: 70},
	}
	for _, version := range []int16{7, 9, 11, 12, 13, 15, 17} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			b := newBroker(t)
			l := limits()
			l.FetchPartitions = 100
			s, addr := serve(t, l, b.run)
			c := dial(t, addr)
			id, due := int32(0), int32(0)
			for _, step := range steps {
				b.mu.Lock()
				b.seen = ""
				if step.prepare != nil {
					step.prepare(b)
				}
				b.mu.Unlock()
				epoch, with := step.epoch, id
				if epoch == 99 {
					epoch = due
				}
				switch {
				case step.noID:
					with = 0
				case step.unknown:
					with = id ^ 1 | 2
				}
				c.send(fetch(version, with, epoch, step.names))
				resp, told := c.fetched(version)
				if resp.ErrorCode != step.code || told != step.told || b.seen != step.seen {
					t.Fatalf("%s: code %d, chain saw %q, client was told %q", step.what, resp.ErrorCode, b.seen, told)
				}
				switch {
				case step.session == none && resp.SessionID != 0, step.session == same && resp.SessionID != id,
					step.session == fresh && (resp.SessionID <= 0 || resp.SessionID == id):
					t.Fatalf("%s: session %d, before %d", step.what, resp.SessionID, id)
				case step.session == fresh:
					id, due = resp.SessionID, 1
				case step.session == same:
					due++
				}
			}
			_ = c.Close()
			s.wait(t)
			if s.memory.kept != 0 || s.memory.Used() != 0 {
				t.Errorf("%d bytes are kept, %d in use", s.memory.kept, s.memory.Used())
			}
		})
	}
}

// wait returns when every session has ended.
func (s *Server) wait(t *testing.T) {
	t.Helper()
	if !eventually.True(func() bool { return s.Sessions() == 0 }) {
		t.Fatal("sessions are left")
	}
}

// only is the one session of a server.
func (s *Server) only() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		return ss
	}
	return nil
}

func TestFetchSessionEpochWraps(t *testing.T) {
	l := limits()
	l.FetchPartitions = 100
	s, addr := serve(t, l, newBroker(t).run)
	c := dial(t, addr)
	c.send(fetch(12, 0, 0, "a/0@0"))
	resp, _ := c.fetched(12)
	ss := s.only()
	ss.mu.Lock()
	ss.fetches.epoch = 1<<31 - 1
	ss.mu.Unlock()
	for _, epoch := range []int32{1<<31 - 1, 1, 2} {
		c.send(fetch(12, resp.SessionID, epoch, ""))
		if r, _ := c.fetched(12); r.ErrorCode != 0 || r.SessionID != resp.SessionID {
			t.Fatalf("epoch %d: code %d, session %d", epoch, r.ErrorCode, r.SessionID)
		}
	}
}

// TestFetchSessionsOfAnotherVersion: names and ids don't mix, and the bytes of one version are not
// those of another.
func TestFetchSessionsOfAnotherVersion(t *testing.T) {
	l := limits()
	l.FetchPartitions = 100
	_, addr := serve(t, l, newBroker(t).run)
	c := dial(t, addr)
	c.send(fetch(12, 0, 0, "a/0@0"))
	resp, _ := c.fetched(12)
	for version, want := range map[int16]int16{11: 70, 13: 106} {
		c.send(fetch(version, resp.SessionID, 1, ""))
		if r, _ := c.fetched(version); r.ErrorCode != want || r.SessionID != 0 {
			t.Errorf("version %d: code %d, session %d", version, r.ErrorCode, r.SessionID)
		}
	}
	c.send(fetch(12, resp.SessionID, 1, ""))
	if r, _ := c.fetched(12); r.ErrorCode != 0 {
		t.Errorf("code %d: the session has not survived", r.ErrorCode)
	}
	c.send(fetch(6, 0, 0, "a/0@0"))
	if _, told := c.fetched(6); told != "a/0:0" {
		t.Errorf("version 6 has no sessions and is told %q", told)
	}
}

// TestPipelinedFetchesOfASession: requests change the table in the order in which they are read,
// and answers leave out what was sent before them, whichever is ready first.
func TestPipelinedFetchesOfASession(t *testing.T) {
	b := newBroker(t)
	l := limits()
	l.FetchPartitions = 100
	_, addr := serve(t, l, b.run)
	c := dial(t, addr)
	c.send(fetch(12, 0, 0, "a/0@0 a/1@0"))
	resp, _ := c.fetched(12)
	first, second := make(chan struct{}), make(chan struct{})
	set := func(wait chan struct{}, high int64) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wait, b.high["a/0"], b.seen = wait, high, ""
	}
	saw := func(want string) {
		t.Helper()
		var got string
		if !eventually.True(func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			got = b.seen
			return got == want
		}) {
			t.Fatalf("the chain saw %q, want %q", got, want)
		}
	}
	set(first, 7)
	c.send(fetch(12, resp.SessionID, 1, "a/1@5"))
	saw("a/0@0 a/1@5")
	set(second, 7)
	c.send(fetch(12, resp.SessionID, 2, "-a/1"))
	saw("a/0@0")
	close(second)
	close(first)
	if _, told := c.fetched(12); told != "a/0:0 a/1:0" {
		t.Errorf("the first was told %q, want the new watermark, and what was forgotten meanwhile", told)
	}
	if _, told := c.fetched(12); told != "" {
		t.Errorf("the second was told %q again", told)
	}
}

// TestFetchSessionLimits: past a limit there is no session, and everything else is as before.
func TestFetchSessionLimits(t *testing.T) {
	b := newBroker(t)
	l := limits()
	l.FetchPartitions = 2
	s, addr := serve(t, l, b.run)
	c := dial(t, addr)
	full := func(names string) int32 {
		t.Helper()
		c.send(fetch(12, 0, 0, names))
		r, told := c.fetched(12)
		if r.ErrorCode != 0 || len(strings.Fields(told)) != len(strings.Fields(names)) {
			t.Fatalf("code %d, told %q", r.ErrorCode, told)
		}
		return r.SessionID
	}
	if id := full("a/0@0 a/1@0 a/2@0"); id != 0 {
		t.Errorf("a session of three partitions: %d", id)
	}
	id := full("a/0@0 a/1@0")
	if id == 0 {
		t.Error("no session of two")
	}
	c.send(fetch(12, id, 1, "a/2@0"))
	{
		r, told := c.fetched(12)
		about := fact.Of(t, "a session that grows past the limit: id %d, code %d, told %q of %q", r.SessionID, r.ErrorCode, told, b.seen)
		fact.Equal(about, "r.ErrorCode", r.ErrorCode, 0)
		fact.Equal(about, "r.SessionID", r.SessionID, 0)
		fact.Equal(about, "told", told, "a/2:0")
		fact.Equal(about, "b.seen", b.seen, "a/0@0 a/1@0 a/2@0")
	}
	c.send(fetch(12, id, 2, ""))
	if r, _ := c.fetched(12); r.ErrorCode != 70 {
		t.Errorf("it ended, but goes on with code %d", r.ErrorCode)
	}
	s.memory.mu.Lock()
	s.memory.limit = 1000
	s.memory.mu.Unlock()
	if id := full("a/0@0 a/1@0"); id != 0 {
		t.Error("a session past the limit of the process")
	}
	if s.memory.kept != 0 {
		t.Errorf("%d bytes are kept", s.memory.kept)
	}
}

// TestBadFetchInASessionEndsIt: the list of partitions does not fit.
func TestBadFetchInASessionEndsIt(t *testing.T) {
	l := limits()
	l.FetchPartitions = 100
	_, addr := serve(t, l, newBroker(t).run)
	for _, epoch := range []int32{0, 1} {
		c := dial(t, addr)
		id := int32(0)
		if epoch > 0 {
			c.send(fetch(12, 0, 0, "a/0@0"))
			r, _ := c.fetched(12)
			id = r.SessionID
		}
		req := fetch(12, id, epoch, "a/0@0")
		c.sendCut(req, 12)
		c.ended()
	}
}
