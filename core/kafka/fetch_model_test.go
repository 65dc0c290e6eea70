package kafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchModel is a fetch session as kmsg's messages would keep it.
type fetchModel struct {
	version int16
	parts   []modelPart
}

type modelPart struct {
	topic string
	id    [16]byte
	kmsg.FetchRequestTopicPartition
	told *kmsg.FetchResponseTopicPartition // what the client was told last
}

func (m *fetchModel) find(topic string, id [16]byte, partition int32) int {
	return slices.IndexFunc(m.parts, func(p modelPart) bool {
		same := p.topic == topic
		if m.version >= 13 {
			same = p.id == id
		}
		return same && p.Partition == partition
	})
}

func (m *fetchModel) update(req *kmsg.FetchRequest) {
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if i := m.find(t.Topic, t.TopicID, p.Partition); i >= 0 {
				m.parts[i].FetchRequestTopicPartition = p
			} else {
				m.parts = append(m.parts, modelPart{t.Topic, t.TopicID, p, nil})
			}
		}
	}
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			if i := m.find(t.Topic, t.TopicID, p); i >= 0 {
				m.parts = slices.Delete(m.parts, i, i+1)
			}
		}
	}
}

// full is the request that names everything.
func (m *fetchModel) full(req kmsg.FetchRequest) []byte {
	req.SessionID, req.SessionEpoch, req.Topics, req.ForgottenTopics = 0, -1, nil, nil
	for _, p := range m.parts {
		last := len(req.Topics) - 1
		if last < 0 || m.version < 13 && req.Topics[last].Topic != p.topic || m.version >= 13 && req.Topics[last].TopicID != p.id {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = p.topic, p.id
			req.Topics = append(req.Topics, t)
			last++
		}
		req.Topics[last].Partitions = append(req.Topics[last].Partitions, p.FetchRequestTopicPartition)
	}
	return req.AppendTo(nil)
}

// answer is the response as the client gets it.
func (m *fetchModel) answer(resp kmsg.FetchResponse, id int32, incremental bool) []byte {
	resp.SessionID = id
	var topics []kmsg.FetchResponseTopic
	for _, t := range resp.Topics {
		all := t.Partitions
		t.Partitions = nil
		for _, p := range all {
			if m.tell(&t, &p) || !incremental {
				t.Partitions = append(t.Partitions, p)
			}
		}
		if len(t.Partitions) > 0 {
			topics = append(topics, t)
		}
	}
	resp.Topics = topics
	return resp.AppendTo(nil)
}

func (m *fetchModel) tell(t *kmsg.FetchResponseTopic, p *kmsg.FetchResponseTopicPartition) bool {
	i := m.find(t.Topic, t.TopicID, p.Partition)
	if i < 0 {
		return true
	}
	hints := m.version >= 11 && p.PreferredReadReplica >= 0 || m.version >= 12 && (p.CurrentLeader.LeaderID >= 0 || p.DivergingEpoch.EndOffset >= 0)
	told := m.parts[i].told
	switch {
	case p.ErrorCode != 0:
		m.parts[i].told = nil
		return true
	case p.HighWatermark < 0 && len(p.RecordBatches) == 0 && !hints:
		return false
	}
	m.parts[i].told = p
	if len(p.RecordBatches) > 0 {
		m.parts = append(slices.Delete(slices.Clone(m.parts), i, i+1), m.parts[i])
	}
	return told == nil || len(p.RecordBatches) > 0 || hints || told.HighWatermark != p.HighWatermark ||
		told.LastStableOffset != p.LastStableOffset || told.LogStartOffset != p.LogStartOffset
}

func modelTopic(version int16, n int) (string, [16]byte) {
	if version >= 13 {
		return "", [16]byte{byte(n), 15: byte(n)}
	}
	return fmt.Sprint("topic", n), [16]byte{}
}

// randomFetch names and forgets some partitions.
func randomFetch(r *rand.Rand, version int16, names, forgets int) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = r.Int32(), r.Int32(), r.Int32(), int8(r.IntN(2))
	req.SessionID, req.SessionEpoch = r.Int32(), r.Int32()
	if version >= 11 {
		req.Rack = fmt.Sprint("rack", r.IntN(10))
	}
	if version >= 12 && r.IntN(2) == 0 {
		req.ClusterID = kmsg.StringPtr("cluster")
	}
	for range names {
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = modelTopic(version, r.IntN(3))
		for range r.IntN(3) {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.Int32N(4), r.Int64N(1000), r.Int32()
			if version >= 9 {
				p.CurrentLeaderEpoch = r.Int32N(10) - 1
			}
			if version >= 12 {
				p.LastFetchedEpoch = r.Int32N(10) - 1
			}
			if version >= 18 && r.IntN(3) == 0 {
				p.HighWatermark = r.Int64N(100)
			}
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	for range forgets {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.TopicID = modelTopic(version, r.IntN(4))
		for range r.IntN(3) {
			t.Partitions = append(t.Partitions, r.Int32N(5))
		}
		req.ForgottenTopics = append(req.ForgottenTopics, t)
	}
	return req
}

// randomAnswer answers everything that a model asks for, and sometimes more.
func randomAnswer(r *rand.Rand, m *fetchModel) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(m.version)
	resp.ThrottleMillis = r.Int32N(10)
	for _, p := range m.parts {
		last := kmsg.NewFetchResponseTopic()
		if n := len(resp.Topics); n > 0 {
			last = resp.Topics[n-1]
		}
		other := last.Topic != p.topic || last.TopicID != p.id
		if len(resp.Topics) == 0 || other || r.IntN(4) == 0 {
			t := kmsg.NewFetchResponseTopic()
			t.Topic, t.TopicID = p.topic, p.id
			resp.Topics = append(resp.Topics, t)
		}
		a := kmsg.NewFetchResponseTopicPartition()
		a.Partition, a.RecordBatches = p.Partition, []byte{}
		a.HighWatermark, a.LastStableOffset, a.LogStartOffset = r.Int64N(2), r.Int64N(2), 0
		switch r.IntN(12) {
		case 0:
			a.ErrorCode, a.HighWatermark = 6, -1
			if m.version >= 12 {
				a.CurrentLeader.LeaderID, a.CurrentLeader.LeaderEpoch = 1<<20, 7
			}
			if m.version >= 16 {
				resp.Brokers = []kmsg.FetchResponseBroker{{NodeID: 1 << 20, Host: "gateway", Port: 9092}}
			}
		case 1:
			a.HighWatermark, a.LastStableOffset, a.LogStartOffset = -1, -1, -1
		case 2:
			a.RecordBatches = bytes.Repeat([]byte("records"), 1+r.IntN(3000)) // also such as are not copied
		case 3:
			if m.version >= 11 {
				a.PreferredReadReplica = 1
			}
			if m.version >= 12 {
				a.DivergingEpoch.Epoch, a.DivergingEpoch.EndOffset = 3, 9
			}
			a.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}}
		}
		resp.Topics[len(resp.Topics)-1].Partitions = append(resp.Topics[len(resp.Topics)-1].Partitions, a)
	}
	return resp
}
