package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// TopicIDsOf are the ids that a Produce or Fetch and its answer, which may be nil, have in place of
// names; none for other APIs.
func TopicIDsOf(key kmsg.Key, version int16, request, response []byte) (ids [][16]byte) {
	add := func(id [16]byte) {
		if id != [16]byte{} {
			ids = append(ids, id)
		}
	}
	if h := NewRequestBody(key, version, request).View(); h != nil {
		for i := range h.Partitions {
			add(h.Partitions[i].ID)
		}
	}
	if response == nil {
		return ids
	}
	if h := NewResponseBody(key, version, response).View(); h != nil {
		for i := range h.Partitions {
			add(h.Partitions[i].ID)
		}
	}
	return ids
}
