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
	MaxVersion int16 // the highest version that is offered
	// Reviewed is the highest version that somebody has looked at: its fields that name topics,
	// groups, nodes, offsets and epochs are translated, and its views read it. A newer kmsg offers
	// no version beyond it.
	Reviewed int16
	GoesTo   Destination
	Carries  Carries
	Scope    Scope
	// OnFailure is the code that clients get when the gateway can't carry the request out. No
	// client takes it for fatal. For Fetch it is 0: an empty success.
	OnFailure Code
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
			row = API{GoesTo: Refused, OnFailure: UnknownServerError}
		}
		row.Key, row.Name = kmsg.Key(k), kmsg.NameForKey(int16(k))
		if r != nil {
			if row.MaxVersion = r.MaxVersion(); row.GoesTo != Refused {
				row.MaxVersion = min(row.MaxVersion, row.Reviewed)
			}
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

// rows is the hand-written part of the table: where an API goes, what it carries, what clients get
// when we fail, and whether it may be repeated. A key without a row is refused.
func rows() map[kmsg.Key]API {
	out := offered()
	for _, k := range refused() {
		out[k] = API{GoesTo: Refused, OnFailure: UnknownServerError}
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
		// Their topics, which the broker makes, are those of one cluster (KIP-1071).
		kmsg.StreamsGroupHeartbeat, kmsg.StreamsGroupDescribe, kmsg.StreamsGroupTopologyDescriptionUpdate,
	}
}

func offered() map[kmsg.Key]API {
	return map[kmsg.Key]API{
		kmsg.Produce:              {Reviewed: 13, GoesTo: Leader, Carries: Topics | Offsets | Brokers, OnFailure: RequestTimedOut, Scope: Named},
		kmsg.Fetch:                {Reviewed: 18, GoesTo: Leader, Carries: Topics | Offsets | Brokers, OnFailure: 0, Repeatable: true, Scope: Named},
		kmsg.ListOffsets:          {Reviewed: 11, GoesTo: Leader, Carries: Topics | Offsets, OnFailure: NotLeaderOrFollower, Repeatable: true, Scope: Named},
		kmsg.OffsetForLeaderEpoch: {Reviewed: 4, GoesTo: Leader, Carries: Topics | Offsets, OnFailure: NotLeaderOrFollower, Repeatable: true, Scope: Named},
		kmsg.DeleteRecords:        {Reviewed: 2, GoesTo: Leader, Carries: Topics | Offsets, OnFailure: NotLeaderOrFollower, Repeatable: true, Scope: Named},
		kmsg.DescribeProducers:    {Reviewed: 0, GoesTo: Leader, Carries: Topics, OnFailure: NotLeaderOrFollower, Repeatable: true, Scope: Named},

		kmsg.Metadata:                {Reviewed: 13, GoesTo: Any, Carries: Topics | Offsets | Brokers, OnFailure: LeaderNotAvailable, Repeatable: true, Scope: Named},
		kmsg.DescribeTopicPartitions: {Reviewed: 0, GoesTo: Any, Carries: Topics | Offsets | Brokers, OnFailure: LeaderNotAvailable, Repeatable: true, Scope: Named},
		kmsg.DescribeCluster:         {Reviewed: 2, GoesTo: Any, Carries: Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Harmless},
		kmsg.DescribeConfigs:         {Reviewed: 4, GoesTo: Any, Carries: Topics | Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.ListConfigResources:     {Reviewed: 1, GoesTo: Any, Carries: Topics | Groups | Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.CreateTopics:            {Reviewed: 7, GoesTo: Controller, Carries: Topics | Brokers, OnFailure: UnknownServerError, Scope: Named},
		kmsg.DeleteTopics:            {Reviewed: 6, GoesTo: Controller, Carries: Topics, OnFailure: UnknownServerError, Scope: Named},
		kmsg.CreatePartitions:        {Reviewed: 3, GoesTo: Controller, Carries: Topics, OnFailure: UnknownServerError, Scope: Named},
		kmsg.AlterConfigs:            {Reviewed: 2, GoesTo: Any, Carries: Topics | Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.IncrementalAlterConfigs: {Reviewed: 1, GoesTo: Any, Carries: Topics | Brokers, OnFailure: UnknownServerError, Scope: Mixed},

		kmsg.FindCoordinator:        {Reviewed: 6, GoesTo: Any, Carries: Groups | Transactions | Brokers, OnFailure: 15, Repeatable: true, Scope: Named},
		kmsg.JoinGroup:              {Reviewed: 9, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.SyncGroup:              {Reviewed: 5, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.Heartbeat:              {Reviewed: 4, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.LeaveGroup:             {Reviewed: 5, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetCommit:           {Reviewed: 10, GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetFetch:            {Reviewed: 10, GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.OffsetDelete:           {Reviewed: 0, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.DescribeGroups:         {Reviewed: 6, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.DeleteGroups:           {Reviewed: 3, GoesTo: Coordinator, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.ListGroups:             {Reviewed: 5, GoesTo: Any, Carries: Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.ConsumerGroupHeartbeat: {Reviewed: 1, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.ConsumerGroupDescribe:  {Reviewed: 1, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},

		// Share sessions are of one connection to one broker, and end with it: a request goes to
		// the node that the client has dialled, or nowhere (KIP-932).
		kmsg.ShareFetch:                {Reviewed: 2, GoesTo: Any, Carries: Groups | Topics | Offsets | Brokers, OnFailure: ShareSessionNotFound, Scope: Named},
		kmsg.ShareAcknowledge:          {Reviewed: 2, GoesTo: Any, Carries: Groups | Topics | Offsets | Brokers, OnFailure: ShareSessionNotFound, Scope: Named},
		kmsg.ShareGroupHeartbeat:       {Reviewed: 1, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.ShareGroupDescribe:        {Reviewed: 1, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.DescribeShareGroupOffsets: {Reviewed: 1, GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.AlterShareGroupOffsets:    {Reviewed: 0, GoesTo: Coordinator, Carries: Groups | Topics | Offsets, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.DeleteShareGroupOffsets:   {Reviewed: 0, GoesTo: Coordinator, Carries: Groups | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},

		kmsg.InitProducerID:       {Reviewed: 5, GoesTo: Coordinator, Carries: Transactions, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.AddPartitionsToTxn:   {Reviewed: 5, GoesTo: Coordinator, Carries: Transactions | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.AddOffsetsToTxn:      {Reviewed: 4, GoesTo: Coordinator, Carries: Transactions | Groups, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.EndTxn:               {Reviewed: 5, GoesTo: Coordinator, Carries: Transactions, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.TxnOffsetCommit:      {Reviewed: 6, GoesTo: Coordinator, Carries: Transactions | Groups | Topics | Offsets, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.DescribeTransactions: {Reviewed: 0, GoesTo: Coordinator, Carries: Transactions | Topics, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},
		kmsg.ListTransactions:     {Reviewed: 2, GoesTo: Any, Carries: Transactions, OnFailure: NotCoordinator, Repeatable: true, Scope: Named},

		kmsg.DescribeACLs:                 {Reviewed: 3, GoesTo: Any, Carries: Topics | Groups, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.CreateACLs:                   {Reviewed: 3, GoesTo: Any, Carries: Topics | Groups, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DeleteACLs:                   {Reviewed: 3, GoesTo: Any, Carries: Topics | Groups, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DescribeClientQuotas:         {Reviewed: 1, GoesTo: Any, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.AlterClientQuotas:            {Reviewed: 1, GoesTo: Any, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.DescribeUserSCRAMCredentials: {Reviewed: 0, GoesTo: Any, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},
		kmsg.AlterUserSCRAMCredentials:    {Reviewed: 0, GoesTo: Any, OnFailure: UnknownServerError, Repeatable: true, Scope: Whole},

		kmsg.DescribeLogDirs:            {Reviewed: 5, GoesTo: Any, Carries: Topics, OnFailure: UnknownServerError, Repeatable: true, Scope: Named},
		kmsg.ElectLeaders:               {Reviewed: 2, GoesTo: Controller, Carries: Topics, OnFailure: UnknownServerError, Repeatable: true, Scope: Mixed},
		kmsg.AlterPartitionAssignments:  {Reviewed: 1, GoesTo: Controller, Carries: Topics, OnFailure: UnknownServerError, Repeatable: true, Scope: Named},
		kmsg.ListPartitionReassignments: {Reviewed: 0, GoesTo: Controller, Carries: Topics | Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Named},

		kmsg.ApiVersions: {Reviewed: 5, GoesTo: Gateway, Carries: Brokers, OnFailure: UnknownServerError, Repeatable: true, Scope: Harmless},

		// Authentication ends at the gateway, which asks for none yet and says so.
		kmsg.SASLHandshake:    {Reviewed: 1, GoesTo: Gateway, OnFailure: IllegalSASLState, Scope: Harmless},
		kmsg.SASLAuthenticate: {Reviewed: 2, GoesTo: Gateway, OnFailure: IllegalSASLState, Scope: Harmless},
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
