package telemetry

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
)

// Subject is what a request and its answer are about: where records were sent or came from, how
// many, and what became of them.
type Subject struct {
	Key    kmsg.Key
	Topics []string // that the request names, the first of them
	Group  string
	// Topic is the only one, "" if there are several or none; Partition likewise, -1.
	Topic     string
	Partition int32
	Records   int64    // sent or delivered; negative: not about records, or not known
	Runs      []Run    // of offsets, one for each of the first partitions
	Failed    []Failed // the first partitions with an error
}

// Run is a run of offsets of a partition, both ends included.
type Run struct {
	Topic       string
	Partition   int32
	First, Last int64 // -1 Last: not known
}

// Failed is a partition that was answered with an error.
type Failed struct {
	Topic     string
	Partition int32
	Error     string
}

// operations are the names and types that the conventions have for APIs.
var operations = map[kmsg.Key][2]string{
	kmsg.Produce:          {"send", "send"},
	kmsg.Fetch:            {"poll", "receive"},
	kmsg.ShareFetch:       {"poll", "receive"},
	kmsg.OffsetCommit:     {"commit", "settle"},
	kmsg.TxnOffsetCommit:  {"commit", "settle"},
	kmsg.ShareAcknowledge: {"acknowledge", "settle"},
}

// operation is what the conventions call an API: the type is "" for one that is not about messages.
func operation(key kmsg.Key) (name, kind string) {
	if o, ok := operations[key]; ok {
		return o[0], o[1]
	}
	return kmsg.NameForKey(int16(key)), ""
}

// SpanName is the name of the span of a request: `{operation} {destination}`, or the operation
// alone if there are several topics or none.
func SpanName(key kmsg.Key, topic string) string {
	name, _ := operation(key)
	if topic == "" {
		return name
	}
	return name + " " + topic
}

// topic is the one in the name; of a nil Subject nothing is known.
func (s *Subject) topic() string {
	if s == nil {
		return ""
	}
	return s.Topic
}

// AppendAttributes adds those of a request of an API about s, which may be nil.
func (s *Subject) AppendAttributes(dst []attribute.KeyValue, key kmsg.Key) []attribute.KeyValue {
	name, kind := operation(key)
	dst = append(dst, System.String("kafka"), Operation.String(name))
	if kind != "" {
		dst = append(dst, OperationType.String(kind))
	}
	if s == nil {
		return dst
	}
	if s.Topic != "" {
		dst = append(dst, Destination.String(s.Topic))
		if s.Partition >= 0 {
			dst = append(dst, Partition.String(strconv.Itoa(int(s.Partition))))
		}
	}
	if s.Group != "" {
		dst = append(dst, ConsumerGroup.String(s.Group))
	}
	if s.Records >= 0 {
		dst = append(dst, MessageCount.Int64(s.Records))
	}
	if len(s.Topics) > 0 {
		dst = append(dst, Topics.StringSlice(s.Topics))
	}
	if len(s.Runs) == 1 && (key == kmsg.Produce || s.Runs[0].First == s.Runs[0].Last) {
		dst = append(dst, Offset.Int64(s.Runs[0].First))
	}
	if len(s.Runs) > 0 {
		dst = append(dst, Offsets.StringSlice(texts(s.Runs)))
	}
	if len(s.Failed) > 0 {
		dst = append(dst, Failures.StringSlice(texts(s.Failed)))
	}
	return dst
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// String is `topic-partition: first-last`.
func (r Run) String() string {
	b := strconv.AppendInt(place(r.Topic, r.Partition), r.First, 10)
	if r.Last > r.First {
		b = strconv.AppendInt(append(b, '-'), r.Last, 10)
	}
	return string(b)
}

// String is `topic-partition: ERROR`.
func (f Failed) String() string { return string(append(place(f.Topic, f.Partition), f.Error...)) }

func place(topic string, partition int32) []byte {
	b := append(make([]byte, 0, len(topic)+48), topic...)
	return append(strconv.AppendInt(append(b, '-'), int64(partition), 10), ": "...)
}
