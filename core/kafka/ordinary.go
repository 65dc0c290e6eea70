package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// anywhere are codes with which brokers send clients on while leaders and coordinators change.
var anywhere = []int16{
	5,  // LEADER_NOT_AVAILABLE
	6,  // NOT_LEADER_OR_FOLLOWER
	14, // COORDINATOR_LOAD_IN_PROGRESS
	16, // NOT_COORDINATOR
	74, // FENCED_LEADER_EPOCH
	75, // UNKNOWN_LEADER_EPOCH
}

// ordinary are codes that are part of the normal run of some APIs.
var ordinary = map[kmsg.Key][]int16{
	kmsg.ApiVersions:        {35},          // a newer version than the broker's is asked for first
	kmsg.Fetch:              {70, 71, 106}, // fetch sessions end
	kmsg.ShareFetch:         {122, 123},    // share sessions too
	kmsg.JoinGroup:          {27, 79},      // a member gets its id, and members join
	kmsg.SyncGroup:          {27},
	kmsg.Heartbeat:          {27},
	kmsg.OffsetCommit:       {27, 113},
	kmsg.TxnOffsetCommit:    {27, 113},
	kmsg.OffsetFetch:        {113},
	kmsg.InitProducerID:     {51}, // the transaction before this one is about to end
	kmsg.AddPartitionsToTxn: {51},
	kmsg.AddOffsetsToTxn:    {51},
	kmsg.EndTxn:             {51},
	kmsg.Produce:            {51}, // KIP-890: it begins one
}

// Ordinary reports a code that an API answers in the normal run of the protocol: the client does what it says and goes on.
func Ordinary(key kmsg.Key, code int16) bool {
	return slices.Contains(anywhere, code) || slices.Contains(ordinary[key], code)
}
