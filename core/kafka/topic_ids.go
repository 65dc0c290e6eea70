package kafka

import (
	"iter"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TopicIDs are the ids that a Produce or Fetch and its answer have in place of names; none for other APIs. response may be nil.
func TopicIDs(key kmsg.Key, version int16, request, response []byte) iter.Seq[[16]byte] {
	return func(yield func([16]byte) bool) {
		var ids [][16]byte
		if req := NewRequestBody(key, version, request).Hot(); req != nil {
			for _, p := range req.Partitions {
				ids = append(ids, p.ID)
			}
		}
		if response != nil {
			if resp := NewResponseBody(key, version, response).Hot(); resp != nil {
				for _, p := range resp.Partitions {
					ids = append(ids, p.ID)
				}
			}
		}
		for _, id := range ids {
			if id != [16]byte{} && !yield(id) {
				return
			}
		}
	}
}
