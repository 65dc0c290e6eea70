package topics

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// shareAssignment is assignment for a member of a share group (KIP-932).
func (n *names) shareAssignment(m *kmsg.ShareGroupHeartbeatResponse) {
	if m.Assignment == nil {
		return
	}
	if !assigned(n, &m.Assignment.TopicPartitions, func(t *kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition) *topicID { return &t.TopicID }) {
		m.ErrorCode, m.Assignment = int16(kafka.NotCoordinator), nil
	}
}

// quoteGroup changes the name of the group that a request is about where the answer's message
// quotes it.
func (n *names) quoteGroup(req kmsg.Request, resp kmsg.Response) {
	var group string
	var message *string
	switch m := resp.(type) {
	case *kmsg.ShareGroupHeartbeatResponse:
		group, message = req.(*kmsg.ShareGroupHeartbeatRequest).GroupID, m.ErrorMessage
	case *kmsg.AlterShareGroupOffsetsResponse:
		group, message = req.(*kmsg.AlterShareGroupOffsetsRequest).GroupID, m.ErrorMessage
	case *kmsg.DeleteShareGroupOffsetsResponse:
		group, message = req.(*kmsg.DeleteShareGroupOffsetsRequest).GroupID, m.ErrorMessage
	}
	if message != nil && n.cfg.Prefix != "" { // the request names it as it is on the cluster
		*message = strings.ReplaceAll(*message, group, strings.TrimPrefix(group, n.cfg.Prefix))
	}
}
