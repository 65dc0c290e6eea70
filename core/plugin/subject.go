package plugin

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// mostTold bounds the topics and partitions that are told of a request.
const mostTold = 10

// SubjectOf is what a request of an API, and its answer, which may be nil, are about. name is the
// name of a topic that is given by id, "" if nobody knows it.
func SubjectOf(key kmsg.Key, req *kafka.RequestBody, resp *kafka.ResponseBody, name func(id [16]byte) string) *telemetry.Subject {
	s := subject{Subject: telemetry.Subject{Key: key, Partition: -1, Records: -1}, name: name}
	s.Topics, s.Group = req.Subjects(mostTold, name)
	switch key {
	case kmsg.Produce:
		s.produced(req, resp)
	case kmsg.Fetch, kmsg.ShareFetch:
		s.fetched(req, resp)
	default:
		if len(s.Topics) == 1 {
			s.Topic = s.Topics[0]
		}
	}
	return &s.Subject
}

// subject is what is made of a request and its answer.
type subject struct {
	telemetry.Subject
	name  func(id [16]byte) string // of topics that are given by id
	asked kafka.Asked
}

func (s *subject) produced(req *kafka.RequestBody, resp *kafka.ResponseBody) {
	s.asked = req.Asked()
	var only only
	for _, p := range s.asked.All() {
		only.add(p.Topic, p.ID, p.Partition)
		s.count(p.Records, 0)
	}
	s.Topic, s.Partition = only.names(s.name)
	if resp == nil {
		return
	}
	for p := range resp.Partitions() {
		if s.fails(p) || p.BaseOffset < 0 || len(s.Runs) == mostTold {
			continue
		}
		run := telemetry.Run{Topic: s.topic(p.Topic, p.ID), Partition: p.Partition, First: p.BaseOffset, Last: -1}
		if asked := s.asked.Find(p); asked != nil {
			if n, _, _, known := kafka.Span(asked.Records, 0); known && n > 0 {
				run.Last = run.First + n - 1
			}
		}
		s.Runs = append(s.Runs, run)
	}
}

func (s *subject) fetched(req *kafka.RequestBody, resp *kafka.ResponseBody) {
	s.asked = req.Asked()
	var asked, delivered only
	for _, p := range s.asked.All() {
		asked.add(p.Topic, p.ID, p.Partition)
	}
	if len(s.asked.All()) == 0 && len(s.Topics) == 1 { // of a share group
		s.Topic = s.Topics[0]
	} else {
		s.Topic, s.Partition = asked.names(s.name)
	}
	if resp == nil {
		return
	}
	s.count(nil, 0)
	for p := range resp.Partitions() {
		if s.fails(p) || len(p.Records) == 0 {
			continue
		}
		from := int64(0)
		if asked := s.asked.Find(p); asked != nil {
			from = asked.Offset
		}
		n, first, last := s.count(p.Records, from)
		if n == 0 {
			continue
		}
		delivered.add(p.Topic, p.ID, p.Partition)
		if len(s.Runs) < mostTold {
			s.Runs = append(s.Runs, telemetry.Run{Topic: s.topic(p.Topic, p.ID), Partition: p.Partition, First: first, Last: last})
		}
	}
	if delivered.seen {
		s.Topic, s.Partition = delivered.names(s.name)
	}
}

// unknown is the number of records once there are some that could not be counted.
const unknown = -2

// count adds the records of a partition from an offset on.
func (s *subject) count(records []byte, from int64) (n, first, last int64) {
	n, first, last, known := kafka.Span(records, from)
	switch {
	case !known:
		s.Records = unknown
	case s.Records != unknown:
		s.Records = max(s.Records, 0) + n
	}
	return n, first, last
}

// fails notes a partition that was answered with an error.
func (s *subject) fails(p *kafka.ResponsePartition) bool {
	if p.ErrorCode == 0 {
		return false
	}
	if !kafka.Ordinary(s.Key, p.ErrorCode) && len(s.Failed) < mostTold {
		s.Failed = append(s.Failed, telemetry.Failed{Topic: s.topic(p.Topic, p.ID), Partition: p.Partition, Error: p.ErrorCode.Name()})
	}
	return true
}

func (s *subject) topic(name []byte, id [16]byte) string {
	if len(name) == 0 && id != [16]byte{} {
		return s.name(id)
	}
	return string(name)
}

// only finds out whether all partitions are of one topic, and whether they are one.
type only struct {
	topic           []byte
	id              [16]byte
	partition       int32
	seen            bool
	topics, several bool // there are several
}

func (o *only) add(topic []byte, id [16]byte, partition int32) {
	if !o.seen {
		o.topic, o.id, o.partition, o.seen = topic, id, partition, true
		return
	}
	o.topics = o.topics || o.id != id || !bytes.Equal(o.topic, topic)
	o.several = o.several || o.topics || o.partition != partition
}

// names are the topic, "" for none, and the partition, -1.
func (o *only) names(name func([16]byte) string) (topic string, partition int32) {
	if !o.seen || o.topics {
		return "", -1
	}
	if topic = string(o.topic); topic == "" && o.id != [16]byte{} {
		topic = name(o.id)
	}
	if o.several {
		return topic, -1
	}
	return topic, o.partition
}
