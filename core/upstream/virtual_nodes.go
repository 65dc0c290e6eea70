package upstream

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// virtualizers say, for each API whose responses carry a node id, an address or the cluster id,
// where these stand; a row that is missing fails a test. Produce and Fetch, which name leaders now
// and then (KIP-951), are read in their views.
var virtualizers = map[kmsg.Key]func(e *Dispatcher, c *Cluster, msg kmsg.Response){
	kmsg.Metadata: with(func(e *Dispatcher, c *Cluster, m *kmsg.MetadataResponse) {
		if !refusesAll(m) {
			e.virtualizeMetadata(c, m)
		}
	}),
	kmsg.FindCoordinator: with((*Dispatcher).virtualizeCoordinators),
	kmsg.DescribeCluster: with((*Dispatcher).virtualizeCluster),
	kmsg.DescribeTopicPartitions: with(func(e *Dispatcher, c *Cluster, m *kmsg.DescribeTopicPartitionsResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				p.LeaderID = e.virtual(c, p.LeaderID)
				e.virtualAll(c, p.Replicas, p.ISR, p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas)
			}
		}
	}),
	kmsg.ListPartitionReassignments: with(func(e *Dispatcher, c *Cluster, m *kmsg.ListPartitionReassignmentsResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				e.virtualAll(c, p.Replicas, p.AddingReplicas, p.RemovingReplicas)
			}
		}
	}),
	kmsg.DescribeConfigs: with((*Dispatcher).virtualizeConfigs),
	kmsg.CreateTopics: with(func(e *Dispatcher, c *Cluster, m *kmsg.CreateTopicsResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Configs {
				f := &m.Topics[i].Configs[j]
				e.virtualizeConfig(c, kmsg.ConfigResourceTypeTopic, f.Name, &f.Value)
			}
		}
	}),
	kmsg.ListConfigResources: with((*Dispatcher).virtualizeConfigResources),
	kmsg.IncrementalAlterConfigs: with(func(e *Dispatcher, c *Cluster, m *kmsg.IncrementalAlterConfigsResponse) {
		for i := range m.Resources {
			e.virtualizeResource(c, m.Resources[i].ResourceType, &m.Resources[i].ResourceName, &m.Resources[i].ErrorMessage)
		}
	}),
	kmsg.AlterConfigs: with(func(e *Dispatcher, c *Cluster, m *kmsg.AlterConfigsResponse) {
		for i := range m.Resources {
			e.virtualizeResource(c, m.Resources[i].ResourceType, &m.Resources[i].ResourceName, &m.Resources[i].ErrorMessage)
		}
	}),
	kmsg.ShareFetch: with(func(e *Dispatcher, c *Cluster, m *kmsg.ShareFetchResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				e.virtualizeShareLeader(c, p.ErrorCode, &p.CurrentLeader.LeaderID, &p.CurrentLeader.LeaderEpoch)
			}
		}
		for i := range m.NodeEndpoints {
			n := &m.NodeEndpoints[i]
			v := e.nodes.Virtual(c.cfg.Name, n.NodeID)
			n.NodeID, n.Host, n.Port, n.Rack = v.ID, v.Host, v.Port, v.Rack
		}
	}),
	kmsg.ShareAcknowledge: with(func(e *Dispatcher, c *Cluster, m *kmsg.ShareAcknowledgeResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				e.virtualizeShareLeader(c, p.ErrorCode, &p.CurrentLeader.LeaderID, &p.CurrentLeader.LeaderEpoch)
			}
		}
		for i := range m.NodeEndpoints {
			n := &m.NodeEndpoints[i]
			v := e.nodes.Virtual(c.cfg.Name, n.NodeID)
			n.NodeID, n.Host, n.Port, n.Rack = v.ID, v.Host, v.Port, v.Rack
		}
	}),
}

// virtualizeShareLeader makes the leader virtual that an answer to a share consumer names. It names
// one where the code says that there is another one. Elsewhere brokers write 0, which is no node.
func (e *Dispatcher) virtualizeShareLeader(c *Cluster, code int16, node, epoch *int32) {
	switch kafka.Code(code) {
	case kafka.NotLeaderOrFollower, kafka.FencedLeaderEpoch:
		*node = e.virtual(c, *node)
	default:
		*node, *epoch = -1, -1
	}
}

// with makes a row of a function over its own response.
func with[T kmsg.Response](f func(e *Dispatcher, c *Cluster, m T)) func(*Dispatcher, *Cluster, kmsg.Response) {
	return func(e *Dispatcher, c *Cluster, msg kmsg.Response) { f(e, c, msg.(T)) }
}

// virtualize makes a response of cluster c show virtual nodes alone.
func (e *Dispatcher) virtualize(key kmsg.Key, version int16, c *Cluster, body *kafka.ResponseBody) error {
	if err := body.Clean(); err != nil {
		return err
	}
	if h := body.View(); h != nil {
		return e.virtualizeView(key, version, c, h)
	}
	api, _ := kafka.Lookup(key)
	if api.Carries&kafka.Brokers == 0 {
		return nil
	}
	msg, err := body.Edit()
	if err == nil {
		err = sane(msg)
	}
	if err != nil {
		return err
	}
	row := virtualizers[key]
	if row == nil {
		return fmt.Errorf("%s carries brokers, but nobody makes them virtual", api.Name)
	}
	row(e, c, msg)
	return nil
}

// virtual maps a node id; -1 (none) stays.
func (e *Dispatcher) virtual(c *Cluster, node int32) int32 {
	if node < 0 {
		return node
	}
	return c.virtual(node)
}

func (e *Dispatcher) virtualAll(c *Cluster, lists ...[]int32) {
	for _, l := range lists {
		for i := range l {
			l[i] = e.virtual(c, l[i])
		}
	}
}

// refusesAll reports an answer with which a broker refuses a request as a whole: it knows of no
// cluster, no nodes and no partitions.
func refusesAll(m *kmsg.MetadataResponse) bool {
	return kafka.Has(kmsg.Metadata, m.Version, kafka.ClusterIDs) && m.ClusterID == nil && len(m.Brokers) == 0 && m.ControllerID < 0 &&
		!slices.ContainsFunc(m.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.ErrorCode == 0 || len(t.Partitions) > 0 })
}

func (e *Dispatcher) virtualizeMetadata(c *Cluster, m *kmsg.MetadataResponse) {
	if len(m.Brokers) > 0 {
		c.Learn(m) // before it shows virtual nodes
	}
	m.Brokers = nil
	for _, n := range e.nodes.All() {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, n.Rack
		m.Brokers = append(m.Brokers, b)
	}
	m.ClusterID = &e.id
	m.ControllerID = e.virtual(c, m.ControllerID)
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.Leader = e.virtual(c, p.Leader)
			e.virtualAll(c, p.Replicas, p.ISR, p.OfflineReplicas)
		}
	}
}

func (e *Dispatcher) virtualizeCoordinators(c *Cluster, m *kmsg.FindCoordinatorResponse) {
	present := func(code int16, node *int32, host *string, port *int32) {
		v := plugin.VirtualNode{ID: -1, Port: -1} // an error names nobody
		if code == 0 {
			v = e.nodes.Virtual(c.cfg.Name, *node)
		}
		*node, *host, *port = v.ID, v.Host, v.Port
	}
	if !kafka.Has(kmsg.FindCoordinator, m.Version, kafka.Batched) {
		present(m.ErrorCode, &m.NodeID, &m.Host, &m.Port)
	}
	for i := range m.Coordinators {
		k := &m.Coordinators[i]
		present(k.ErrorCode, &k.NodeID, &k.Host, &k.Port)
	}
}

func (e *Dispatcher) virtualizeCluster(c *Cluster, m *kmsg.DescribeClusterResponse) {
	m.Brokers = nil
	if m.ErrorCode != 0 {
		m.ClusterID, m.ControllerID = "", -1
		return
	}
	m.ClusterID = e.id
	m.ControllerID = e.virtual(c, m.ControllerID)
	for _, n := range e.nodes.All() {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, n.Rack
		m.Brokers = append(m.Brokers, b)
	}
}

// virtualizeView makes the answer to a Produce or Fetch show virtual nodes: leaders together with
// their endpoints (KIP-951), since clients trust the id, and preferred replicas.
func (e *Dispatcher) virtualizeView(key kmsg.Key, version int16, c *Cluster, h *kafka.ResponseView) error {
	if !h.Names {
		return nil
	}
	if err := saneNumber("brokers", len(h.Endpoints), mostBrokers); err != nil {
		return &kafka.MalformedError{Key: key, Version: version, Response: true, Err: err}
	}
	for i := range h.Partitions {
		p := &h.Partitions[i]
		h.SetLeader(i, e.virtual(c, p.LeaderID), p.LeaderEpoch)
		h.SetPreferredReadReplica(i, e.virtual(c, p.PreferredReadReplica))
	}
	if len(h.Endpoints) == 0 {
		return nil
	}
	nodes := make([]kafka.Endpoint, len(h.Endpoints))
	for i := range nodes { // those outside of the range are all presented as its first
		nodes[i] = kafka.Endpoint(e.nodes.Virtual(c.cfg.Name, h.Endpoints[i].ID))
	}
	h.SetEndpoints(nodes)
	return nil
}
