package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// anywhere are codes with which brokers send clients on while leaders and coordinators change.
var anywhere = []Code{LeaderNotAvailable, NotLeaderOrFollower, CoordinatorLoadInProgress, NotCoordinator, FencedLeaderEpoch, UnknownLeaderEpoch}

// ordinary are codes that are part of the normal run of some APIs.
var ordinary = map[kmsg.Key][]Code{
	kmsg.ApiVersions:        {UnsupportedVersion},                                                         // a newer one than the broker's is asked for first
	kmsg.Fetch:              {FetchSessionIDNotFound, InvalidFetchSessionEpoch, FetchSessionTopicIDError}, // fetch sessions end
	kmsg.ShareFetch:         {ShareSessionNotFound, InvalidShareSessionEpoch},                             // share sessions too
	kmsg.ShareAcknowledge:   {ShareSessionNotFound, InvalidShareSessionEpoch},
	kmsg.JoinGroup:          {RebalanceInProgress, MemberIDRequired}, // a member gets its id, and members join
	kmsg.SyncGroup:          {RebalanceInProgress},
	kmsg.Heartbeat:          {RebalanceInProgress},
	kmsg.OffsetCommit:       {RebalanceInProgress, StaleMemberEpoch},
	kmsg.TxnOffsetCommit:    {RebalanceInProgress, StaleMemberEpoch},
	kmsg.OffsetFetch:        {StaleMemberEpoch},
	kmsg.InitProducerID:     {ConcurrentTransactions}, // the transaction before this one is about to end
	kmsg.AddPartitionsToTxn: {ConcurrentTransactions},
	kmsg.AddOffsetsToTxn:    {ConcurrentTransactions},
	kmsg.EndTxn:             {ConcurrentTransactions},
	kmsg.Produce:            {ConcurrentTransactions}, // KIP-890: it begins one
}

// Ordinary reports a code that an API answers in the normal run of the protocol: the client does
// what it says and goes on.
func Ordinary(key kmsg.Key, code Code) bool {
	return slices.Contains(anywhere, code) || slices.Contains(ordinary[key], code)
}
