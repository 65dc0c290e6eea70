package kafka

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Feature is something that the requests and answers of an API have from some version on.
type Feature uint8

// The features that the gateway looks at, with the KIP that brought them.
const (
	// TopicIDs are ids of topics in place of names (KIP-516, KIP-848), in Metadata beside them.
	TopicIDs Feature = iota
	// LeaderHints name the leader of a partition in answers that refuse it (KIP-595, KIP-951).
	LeaderHints
	// NodeEndpoints give the addresses of the leaders that are named (KIP-951).
	NodeEndpoints
	// Racks of clients, and the replica that a consumer had better read from (KIP-392); in Metadata
	// those of brokers (KIP-36).
	Racks
	// FetchSessions are KIP-227's.
	FetchSessions
	// LeaderEpochs are those of the leader that a client knows, or that a broker tells (KIP-320).
	LeaderEpochs
	// LastFetchedEpochs find out where logs diverge (KIP-595).
	LastFetchedEpochs
	// NoReplicaID is a Fetch without the number of the replica, which consumers do not have
	// (KIP-903).
	NoReplicaID
	// TransactionsAndMarks are transactional ids and isolation levels, with the last stable offset
	// and aborted transactions (KIP-98).
	TransactionsAndMarks
	// LogStarts are offsets that logs begin at (KIP-107).
	LogStarts
	// MaxBytes limits an answer as a whole (KIP-74).
	MaxBytes
	// ThrottleTimes tell a client how long a quota makes it wait.
	ThrottleTimes
	// AppendTimes are the timestamps that a broker gives (KIP-32).
	AppendTimes
	// RecordErrors say which records are refused, and why (KIP-467).
	RecordErrors
	// MemberIDs says that who joins a group gets its member id first, and joins with it (KIP-394).
	MemberIDs
	// Abortable is the code TRANSACTION_ABORTABLE (KIP-890), that producers take for what it says.
	Abortable
	// Batched requests are about several groups or keys (KIP-699, KIP-709).
	Batched
	// WholeCodes are codes for an answer as a whole.
	WholeCodes
	// AutoCreation is the question whether topics may be created that are asked for.
	AutoCreation
	// ControllerAndInternal are the controller, and which topics are internal.
	ControllerAndInternal
	// ClusterIDs are KIP-78's.
	ClusterIDs
	// OfflineReplicas are KIP-112's.
	OfflineReplicas
	// ClientSoftware is the name and version of a client's library, and the features of a cluster
	// (KIP-511, KIP-584).
	ClientSoftware
	// WrongCluster is what a client believes to talk to, and that it is told when it does not
	// (KIP-1242).
	WrongCluster

	features
)

// since says from which version on an API has a feature; never is none.
var since = sinceTable(map[Feature]map[kmsg.Key]int16{
	TopicIDs:              {kmsg.Produce: 13, kmsg.Fetch: 13, kmsg.Metadata: 10},
	LeaderHints:           {kmsg.Produce: 10, kmsg.Fetch: 12},
	NodeEndpoints:         {kmsg.Produce: 10, kmsg.Fetch: 16},
	Racks:                 {kmsg.Fetch: 11, kmsg.Metadata: 1},
	FetchSessions:         {kmsg.Fetch: 7},
	LeaderEpochs:          {kmsg.Fetch: 9, kmsg.Metadata: 7},
	LastFetchedEpochs:     {kmsg.Fetch: 12},
	NoReplicaID:           {kmsg.Fetch: 15},
	TransactionsAndMarks:  {kmsg.Produce: 3, kmsg.Fetch: 4},
	LogStarts:             {kmsg.Produce: 5, kmsg.Fetch: 5},
	MaxBytes:              {kmsg.Fetch: 3},
	ThrottleTimes:         {kmsg.Produce: 1, kmsg.Fetch: 1},
	AppendTimes:           {kmsg.Produce: 2},
	RecordErrors:          {kmsg.Produce: 8},
	MemberIDs:             {kmsg.JoinGroup: 4},
	Abortable:             {kmsg.Produce: 12, kmsg.AddPartitionsToTxn: 5, kmsg.TxnOffsetCommit: 4},
	Batched:               {kmsg.FindCoordinator: 4, kmsg.OffsetFetch: 8},
	WholeCodes:            {kmsg.Fetch: 7, kmsg.OffsetFetch: 2, kmsg.DescribeLogDirs: 3},
	AutoCreation:          {kmsg.Metadata: 4},
	ControllerAndInternal: {kmsg.Metadata: 1},
	ClusterIDs:            {kmsg.Metadata: 2},
	OfflineReplicas:       {kmsg.Metadata: 5},
	ClientSoftware:        {kmsg.ApiVersions: 3},
	WrongCluster:          {kmsg.ApiVersions: 5},
})

const never = math.MaxInt16

func sinceTable(of map[Feature]map[kmsg.Key]int16) *[features][kmsg.MaxKey + 1]int16 {
	out := &[features][kmsg.MaxKey + 1]int16{}
	for f := range out {
		for k := range out[f] {
			out[f][k] = never
		}
		for k, version := range of[Feature(f)] {
			out[f][k] = version
		}
	}
	return out
}

// Has reports that requests and answers of an API have a feature in a version.
func Has(key kmsg.Key, version int16, f Feature) bool {
	return key >= 0 && int(key) < len(since[f]) && version >= since[f][key]
}
