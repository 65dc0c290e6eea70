package kafka

import (
	"math/bits"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Destination says which broker answers an API.
type Destination uint8

// The destinations of requests.
const (
	Any         Destination = iota // any broker of the cluster
	Leader                         // the leaders of the partitions that the request lists
	Coordinator                    // the coordinator of its group or transactional id
	Controller                     // the controller
	Gateway                        // answered by Sluice itself
	Refused                        // between brokers, or not offered: hidden by ApiVersions and refused
)

// Carries says what a request or response of an API is about, as bits.
type Carries uint8

// What an API carries.
const (
	Topics       Carries = 1 << iota // topic names or ids
	Groups                           // group ids
	Transactions                     // transactional ids
	Offsets                          // offsets or leader epochs
	Brokers                          // node ids, addresses or the cluster id in its response
)

// Scope says whose what an API reads or changes is, where several virtual clusters share a cluster.
type Scope uint8

// The scopes of APIs. A row without one fails a test.
const (
	Named    Scope = iota + 1 // topics, groups and transactional ids: a name says whose they are
	Mixed                     // what a name divides, and what is everybody's: interceptors look into the request
	Whole                     // everybody's: users, quotas, ACLs. Virtual clusters with a prefix refuse it
	Harmless                  // everybody's, which everybody may see
)

// API is one row of the table of APIs.
type API struct {
	Key        kmsg.Key
	Name       string
	MinVersion int16
	MaxVersion int16 // the highest version that kmsg knows
	GoesTo     Destination
	Carries    Carries
	Scope      Scope
	// OnFailure is the code that clients get when the gateway can't carry the request out. No
	// client takes it for fatal. For Fetch it is 0: an empty success.
	OnFailure int16
	// Repeatable says that carrying the request out twice does no harm.
	Repeatable bool

	flexibleFrom int16 // the first flexible version (KIP-482), MaxVersion+1 if none is
	layouts      *layouts
}

func (a API) flexible(version int16) bool { return version >= a.flexibleFrom }

// Lookup returns the row of an API; false for one that kmsg does not know.
func Lookup(key kmsg.Key) (API, bool) {
	if key < 0 || int(key) >= len(table) {
		return API{}, false
	}
	return table[key], true
}

// APIs lists the table by key.
func APIs() []API { return table }

// table is built once and never changed.
var table = build()

func build() []API {
	out := make([]API, kmsg.MaxKey+1)
	rows := rows()
	for k := range out {
		r := kmsg.RequestForKey(int16(k))
		row, ok := rows[kmsg.Key(k)]
		if !ok { // a key that kmsg has no message for, or a new one: TestTableIsComplete fails on it
			row = API{GoesTo: Refused, OnFailure: unknownServerError}
		}
		row.Key, row.Name = kmsg.Key(k), kmsg.NameForKey(int16(k))
		if r != nil {
			row.MaxVersion = r.MaxVersion()
			row.layouts = newLayouts(row.MaxVersion)
			row.flexibleFrom = row.MaxVersion + 1
			for v := row.MaxVersion; v >= 0; v-- {
				if r.SetVersion(v); r.IsFlexible() {
					row.flexibleFrom = v
				}
			}
		}
		out[k] = row
	}
	return out
}

const (
	leaderNotAvailable = 5
	notLeader          = 6
	requestTimedOut    = 7
	notCoordinator     = 16
	illegalSASLState   = 34
	unknownServerError = -1
)

// rows is the hand-written part of the table: where an API goes, what it carries, what clients get
// when we fail, and whether it may be repeated. A key without a row is refused.
func rows() map[kmsg.Key]API {
	out := offered()
	for _, k := range refused() {
		out[k] = API{GoesTo: Refused, OnFailure: unknownServerError}
	}
	return out
}

// refused lists the APIs that clients are not offered.
func refused() []kmsg.Key {
	return []kmsg.Key{
		// Between brokers and controllers.
		kmsg.LeaderAndISR, kmsg.StopReplica, kmsg.UpdateMetadata, kmsg.ControlledShutdown, kmsg.WriteTxnMarkers,
		kmsg.Vote, kmsg.BeginQuorumEpoch, kmsg.EndQuorumEpoch, kmsg.AlterPartition, kmsg.Envelope, kmsg.FetchSnapshot,
		kmsg.BrokerRegistration, kmsg.BrokerHeartbeat, kmsg.AllocateProducerIDs, kmsg.ControllerRegistration,
		kmsg.AssignReplicasToDirs, kmsg.InitializeShareGroupState, kmsg.ReadShareGroupState, kmsg.WriteShareGroupState,
		kmsg.DeleteShareGroupState, kmsg.ReadShareGroupStateSummary,
		// Of one physical cluster, which clients must not see.
		kmsg.DescribeQuorum, kmsg.UpdateFeatures, kmsg.UnregisterBroker, kmsg.AddRaftVoter, kmsg.RemoveRaftVoter,
		kmsg.UpdateRaftVoter, kmsg.UnregisterController, kmsg.AlterReplicaLogDirs,
		// Tokens are of one cluster.
		kmsg.CreateDelegationToken, kmsg.RenewDelegationToken,
		kmsg.ExpireDelegationToken, kmsg.DescribeDelegationToken,
		// Client metrics would be spread over clusters at random (KIP-714).
		kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry,
		// Their positions are kept by the broker of one cluster alone and can't be moved (KIP-932, KIP-1071).
		kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe, kmsg.ShareFetch, kmsg.ShareAcknowledge,
		kmsg.DescribeShareGroupOffsets, kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets,
		kmsg.StreamsGroupHeartbeat, kmsg.StreamsGroupDescribe, kmsg.StreamsGroupTopologyDescriptionUpdate,
	}
}

func offered() map[kmsg.Key]API {
	return map[kmsg.Key]API{
		kmsg.Produce:              {GoesTo: Leader, Carries: Topics | Offsets | Brokers, OnFailure: requestTimedOut, Scope: Named},
		kmsg.Fetch:                {GoesTo: Leader, Carries: Topics | Offsets | Brokers, OnFailure: 0, Repeatable: true, Scope: Named},
		kmsg.ListOffsets:          {GoesTo: Leader, Carries: Topics | Offsets, OnFailure: notLeader, Repeatable: true, Scope: Named},
		kmsg.OffsetForLeaderEpoch: {GoesTo: Leader, Carries: Topics | Offsets, OnFailure: notLeader, Repeatable: true, Scope: Named},
		kmsg.DeleteRecords:        {GoesTo: Leader, Carries: Topics | Offsets, OnFailure: notLeader, Repeatable: true, Scope: Named},
		kmsg.DescribeProducers:    {GoesTo: Leader, Carries: Topics, OnFailure: notLeader, Repeatable: true, Scope: Named},

		kmsg.Metadata:                {GoesTo: Any, Carries: Topics | Offsets | Brokers, OnFailure: leaderNotAvailable, Repeatable: true, Scope: Named},
		kmsg.DescribeTopicPartitions: {GoesTo: Any, Carries: Topics | Offsets | Brokers, OnFailure: leaderNotAvailable, Repeatable: true, Scope: Named},
		kmsg.DescribeCluster:         {GoesTo: Any, Carries: Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Harmless},
		kmsg.DescribeConfigs:         {GoesTo: Any, Carries: Topics | Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.ListConfigResources:     {GoesTo: Any, Carries: Topics | Groups | Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.CreateTopics:            {GoesTo: Controller, Carries: Topics | Brokers, OnFailure: unknownServerError, Scope: Named},
		kmsg.DeleteTopics:            {GoesTo: Controller, Carries: Topics, OnFailure: unknownServerError, Scope: Named},
		kmsg.CreatePartitions:        {GoesTo: Controller, Carries: Topics, OnFailure: unknownServerError, Scope: Named},
		kmsg.AlterConfigs:            {GoesTo: Any, Carries: Topics | Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.IncrementalAlterConfigs: {GoesTo: Any, Carries: Topics | Brokers, OnFailure: unknownServerError, Scope: Mixed},

		kmsg.FindCoordinator:        {GoesTo: Any, Carries: Groups | Transactions | Brokers, OnFailure: 15, Repeatable: true, Scope: Named},
		kmsg.JoinGroup:              {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.SyncGroup:              {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.Heartbeat:              {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.LeaveGroup:             {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetCommit:           {GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetFetch:            {GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetDelete:           {GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.DescribeGroups:         {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.DeleteGroups:           {GoesTo: Coordinator, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.ListGroups:             {GoesTo: Any, Carries: Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.ConsumerGroupHeartbeat: {GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.ConsumerGroupDescribe:  {GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: notCoordinator, Repeatable: true, Scope: Named},

		kmsg.InitProducerID:       {GoesTo: Coordinator, Carries: Transactions, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.AddPartitionsToTxn:   {GoesTo: Coordinator, Carries: Transactions | Topics, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.AddOffsetsToTxn:      {GoesTo: Coordinator, Carries: Transactions | Groups, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.EndTxn:               {GoesTo: Coordinator, Carries: Transactions, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.TxnOffsetCommit:      {GoesTo: Coordinator, Carries: Transactions | Groups | Topics | Offsets, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.DescribeTransactions: {GoesTo: Coordinator, Carries: Transactions | Topics, OnFailure: notCoordinator, Repeatable: true, Scope: Named},
		kmsg.ListTransactions:     {GoesTo: Any, Carries: Transactions, OnFailure: notCoordinator, Repeatable: true, Scope: Named},

		kmsg.DescribeACLs:                 {GoesTo: Any, Carries: Topics | Groups, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.CreateACLs:                   {GoesTo: Any, Carries: Topics | Groups, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DeleteACLs:                   {GoesTo: Any, Carries: Topics | Groups, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DescribeClientQuotas:         {GoesTo: Any, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.AlterClientQuotas:            {GoesTo: Any, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DescribeUserSCRAMCredentials: {GoesTo: Any, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},
		kmsg.AlterUserSCRAMCredentials:    {GoesTo: Any, OnFailure: unknownServerError, Repeatable: true, Scope: Whole},

		kmsg.DescribeLogDirs:            {GoesTo: Any, Carries: Topics, OnFailure: unknownServerError, Repeatable: true, Scope: Named},
		kmsg.ElectLeaders:               {GoesTo: Controller, Carries: Topics, OnFailure: unknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.AlterPartitionAssignments:  {GoesTo: Controller, Carries: Topics, OnFailure: unknownServerError, Repeatable: true, Scope: Named},
		kmsg.ListPartitionReassignments: {GoesTo: Controller, Carries: Topics | Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Named},

		kmsg.ApiVersions: {GoesTo: Gateway, Carries: Brokers, OnFailure: unknownServerError, Repeatable: true, Scope: Harmless},

		// Authentication ends at the gateway, which asks for none yet and says so.
		kmsg.SASLHandshake:    {GoesTo: Gateway, OnFailure: illegalSASLState, Scope: Harmless},
		kmsg.SASLAuthenticate: {GoesTo: Gateway, OnFailure: illegalSASLState, Scope: Harmless},
	}
}

// KeyOf is the key of the API with Kafka's name.
func KeyOf(name string) (kmsg.Key, bool) {
	for k := range int16(kmsg.MaxKey + 1) {
		if kmsg.NameForKey(k) == name {
			_, ok := Lookup(kmsg.Key(k))
			return kmsg.Key(k), ok
		}
	}
	return -1, false
}

// KeySet is a set of API keys.
type KeySet [2]uint64

// NewKeySet returns the set of keys.
func NewKeySet(keys ...kmsg.Key) (s KeySet) {
	for _, k := range keys {
		if k >= 0 && k < 128 {
			s[k/64] |= 1 << (k % 64)
		}
	}
	return s
}

// Has reports whether a key is in the set.
func (s KeySet) Has(k kmsg.Key) bool { return k >= 0 && k < 128 && s[k/64]&(1<<(k%64)) != 0 }

// Keys lists the set in ascending order.
func (s KeySet) Keys() []kmsg.Key {
	var out []kmsg.Key
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			out = append(out, kmsg.Key(i*64+bits.TrailingZeros64(w)))
		}
	}
	return out
}
