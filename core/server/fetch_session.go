package server

import (
	"math"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Codes of fetch sessions. fetchSession is the fetch session of a connection (KIP-227): clients
// name only what has changed, and are told only what is new. It ends here: the chain sees full
// requests without a session.
type fetchSession struct {
	id    int32
	epoch int32 // of the next request
	table *kafka.FetchTable
	kept  int64 // bytes counted in Memory
}

// fetchAnswer is what has to be done to the answer of a Fetch before it leaves; none without a
// table.
type fetchAnswer struct {
	table       *kafka.FetchTable
	id          int32 // 0: the session has ended
	incremental bool
}

// endFetchSession turns a Fetch into one without a session, which names every partition. It returns
// the body to send, or a response instead. An error is a *kafka.MalformedError.
func (s *session) endFetchSession(sl *slot, body []byte) ([]byte, *plugin.Response, error) {
	id, epoch, ok := kafka.FetchSession(sl.version, body)
	if !ok || id == 0 && epoch == -1 {
		return body, nil, nil
	}
	if err := kafka.Check(kmsg.Fetch, sl.version, body); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch epoch {
	case -1: // the session's end
		if s.fetches != nil && s.fetches.id == id {
			s.dropFetches()
		}
	case 0: // names every partition; the session that there is, one per connection, gives way
		s.dropFetches()
		err = s.openFetches(sl, body)
	default:
		return s.incremental(sl, id, epoch, body)
	}
	kafka.LeaveFetchSession(sl.version, body)
	return body, nil, err
}

// openFetches begins a session with a full request, if it is within the limits.
func (s *session) openFetches(sl *slot, body []byte) error {
	n, err := kafka.FetchNames(sl.version, body)
	if err != nil || n > s.limits.FetchPartitions || s.limits.FetchPartitions == 0 {
		return err
	}
	table, err := kafka.NewFetchTable(sl.version, body, n)
	if err != nil {
		return err
	}
	f := &fetchSession{id: 1 + rand.Int32N(math.MaxInt32), epoch: 1, table: table}
	if s.fetches = f; s.keepFetches() {
		sl.fetch = fetchAnswer{table: table, id: f.id}
	}
	return nil
}

// incremental takes over what a request changes and makes it a full one.
func (s *session) incremental(sl *slot, id, epoch int32, body []byte) ([]byte, *plugin.Response, error) {
	f := s.fetches
	switch {
	case f == nil || f.id != id:
		return nil, refuseFetch(sl.version, kafka.FetchSessionIDNotFound), nil
	case f.epoch != epoch:
		return nil, refuseFetch(sl.version, kafka.InvalidFetchSessionEpoch), nil
	case kafka.Has(kmsg.Fetch, f.table.Version(), kafka.TopicIDs) != kafka.Has(kmsg.Fetch, sl.version, kafka.TopicIDs):
		return nil, refuseFetch(sl.version, kafka.FetchSessionTopicIDError), nil
	case f.table.Version() != sl.version: // the table holds bytes of one version, to which clients keep
		return nil, refuseFetch(sl.version, kafka.FetchSessionIDNotFound), nil
	}
	if f.epoch++; f.epoch < 0 {
		f.epoch = 1
	}
	rest, err := f.table.Update(body)
	if err != nil {
		return nil, nil, err
	}
	if f.table.Len() == 0 { // an empty session ends, as with brokers
		s.dropFetches()
		kafka.LeaveFetchSession(sl.version, body)
		return body, nil, nil
	}
	sl.fetch = fetchAnswer{table: f.table, id: f.id, incremental: true}
	if !s.keepFetches() {
		sl.fetch.id = 0
	}
	return s.expand(sl, f.table, body, rest), nil, nil
}

// expand puts a request that names all of a table in the place of the slot's frame.
func (s *session) expand(sl *slot, table *kafka.FetchTable, body, rest []byte) []byte {
	full := s.server.pool.Frame(table.RequestSize(rest))
	full = table.AppendRequest(full[:0], body, rest)
	was := sl.frame
	sl.frame = full
	s.bytes += int64(len(full) - len(was))
	sl.request = int64(len(full))
	s.server.memory.Add(int64(len(full)))
	s.server.memory.Done(int64(len(was)))
	s.server.pool.Recycle(was)
	return full
}

// keepFetches counts the session's memory; a session that grows past a limit ends.
func (s *session) keepFetches() bool {
	f := s.fetches
	n := f.table.Bytes()
	if f.table.Len() > s.limits.FetchPartitions || !s.server.memory.Keep(n-f.kept) {
		s.dropFetches()
		return false
	}
	f.kept = n
	return true
}

// dropFetches ends the session, if there is one.
func (s *session) dropFetches() {
	if s.fetches != nil {
		s.server.memory.Keep(-s.fetches.kept)
		s.fetches = nil
	}
}

func refuseFetch(version int16, code kafka.Code) *plugin.Response {
	return &plugin.Response{Body: kafka.RefuseFetch(version, code)}
}

// settle makes a response one of its session. It is called in the order in which answers leave,
// because what is left out depends on what the client was told before.
func (f *fetchAnswer) settle(resp *plugin.Response) {
	if f.table != nil {
		f.table.Answer(resp.Body, f.id, f.incremental)
	}
}
