package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// PartitionAnswer is what the gateway itself answers to one partition of a Produce or Fetch, in a
// broker's place. One to a Fetch has no records.
type PartitionAnswer struct {
	Index          int // of the partition, in the view of the request
	ErrorCode      Code
	LogStartOffset int64
	// Of Produce.
	BaseOffset   int64
	ErrorMessage string        // "": none
	Refused      []RecordError // the records that are to blame
	// Of Fetch.
	HighWatermark    int64
	LastStableOffset int64
	// LeaderID and LeaderEpoch are those of the leader that it names (KIP-951); -1: none.
	LeaderID    int32
	LeaderEpoch int32
}

// RecordError says why a record of a Produce is refused (KIP-467).
type RecordError struct {
	Index   int32 // in its batch
	Message string
}

// AnswerTo is an answer to the partition with an index: a code, and neither offsets nor a leader.
func AnswerTo(index int, code Code) PartitionAnswer {
	return PartitionAnswer{
		Index: index, ErrorCode: code, LogStartOffset: -1, BaseOffset: -1,
		HighWatermark: -1, LastStableOffset: -1, LeaderID: -1, LeaderEpoch: -1,
	}
}

// Answer answers those partitions of a Produce or Fetch that are listed. Partitions of a topic that
// stand beside each other are answered under one topic. nodes are the leaders that it names.
func (b *RequestBody) Answer(list []PartitionAnswer, nodes []Endpoint) *ResponseBody {
	asked := b.View().Partitions
	w := newAnswerWriter(b.key, b.version, len(list))
	if w.key == kmsg.Fetch {
		w.fetchHead(0)
	}
	same := func(i, j int) bool {
		p, q := &asked[list[i].Index], &asked[list[j].Index]
		return p.ID == q.ID && string(p.Topic) == string(q.Topic)
	}
	end := func(from int) int {
		to := from + 1
		for to < len(list) && same(from, to) {
			to++
		}
		return to
	}
	topics := 0
	for at := 0; at < len(list); at = end(at) {
		topics++
	}
	w.length(topics)
	for at := 0; at < len(list); {
		to := end(at)
		w.topic(&asked[list[at].Index])
		w.length(to - at)
		for ; at < to; at++ {
			w.partition(asked[list[at].Index].Partition, &list[at])
		}
		w.noTags()
	}
	return w.end(nodes)
}

// RefuseFetch answers a Fetch as a whole with a code, in versions that have one for it.
func RefuseFetch(version int16, code Code) *ResponseBody {
	w := newAnswerWriter(kmsg.Fetch, version, 0)
	w.fetchHead(code)
	w.length(0)
	return w.end(nil)
}

// answerWriter writes an answer to a Produce or Fetch in one version.
type answerWriter struct {
	key      kmsg.Key
	version  int16
	flexible bool
	b        []byte
}

func newAnswerWriter(key kmsg.Key, version int16, partitions int) *answerWriter {
	api, _ := Lookup(key)
	return &answerWriter{key, version, api.flexible(version), make([]byte, 0, 64+64*partitions)}
}

func (w *answerWriter) has(f Feature) bool { return Has(w.key, w.version, f) }

func (w *answerWriter) i32(v int32)  { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *answerWriter) i64(v int64)  { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }
func (w *answerWriter) code(c Code)  { w.b = binary.BigEndian.AppendUint16(w.b, uint16(c)) }
func (w *answerWriter) length(n int) { w.b = appendLength(w.b, n, w.flexible) }

func (w *answerWriter) noTags() {
	if w.flexible {
		w.b = append(w.b, 0)
	}
}

func (w *answerWriter) message(text string) { w.b = appendString(w.b, fitting(text), w.flexible) }

// fetchHead writes what stands before the topics of a Fetch's answer.
func (w *answerWriter) fetchHead(code Code) {
	if w.has(ThrottleTimes) {
		w.i32(0)
	}
	if w.has(FetchSessions) {
		w.code(code)
		w.i32(0) // no session
	}
}

func (w *answerWriter) topic(p *RequestPartition) {
	if w.has(TopicIDs) {
		w.b = append(w.b, p.ID[:]...)
	} else {
		w.b = appendString(w.b, p.Topic, w.flexible)
	}
}

func (w *answerWriter) partition(number int32, a *PartitionAnswer) {
	w.i32(number)
	w.code(a.ErrorCode)
	leader := producedLeader
	if w.key == kmsg.Produce {
		w.produced(a)
	} else {
		leader = fetchedLeader
		w.fetched(a)
	}
	if a.LeaderID < 0 || !w.has(LeaderHints) {
		w.noTags()
		return
	}
	w.b = append(w.b, 1, byte(leader), 9) // one tagged field, of nine bytes
	w.i32(a.LeaderID)
	w.i32(a.LeaderEpoch)
	w.noTags()
}

func (w *answerWriter) produced(a *PartitionAnswer) {
	w.i64(a.BaseOffset)
	if w.has(AppendTimes) {
		w.i64(-1)
	}
	if w.has(LogStarts) {
		w.i64(a.LogStartOffset)
	}
	if !w.has(RecordErrors) {
		return
	}
	w.length(len(a.Refused))
	for _, r := range a.Refused {
		w.i32(r.Index)
		w.message(r.Message)
		w.noTags()
	}
	if a.ErrorMessage != "" {
		w.message(a.ErrorMessage)
	} else {
		w.b = appendNull(w.b, w.flexible)
	}
}

func (w *answerWriter) fetched(a *PartitionAnswer) {
	w.i64(a.HighWatermark)
	if w.has(TransactionsAndMarks) {
		w.i64(a.LastStableOffset)
	}
	if w.has(LogStarts) {
		w.i64(a.LogStartOffset)
	}
	if w.has(TransactionsAndMarks) {
		w.length(-1) // aborted transactions: null
	}
	if w.has(Racks) {
		w.i32(-1) // no replica that it had better read from
	}
	w.length(0) // records: never null, or librdkafka drops the answer
}

// end writes what stands behind the topics.
func (w *answerWriter) end(nodes []Endpoint) *ResponseBody {
	if w.key == kmsg.Produce && w.has(ThrottleTimes) {
		w.i32(0)
	}
	if w.has(NodeEndpoints) {
		w.b = appendEndpoints(w.b, once(nodes))
	} else {
		w.noTags()
	}
	return NewResponseBody(w.key, w.version, w.b)
}
