package upstream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// brokerResource is the resource type of a broker in the config APIs.
const brokerResource = kmsg.ConfigResourceTypeBroker

// ofBroker reports a resource whose name is the id of a node, which alone knows it.
func ofBroker(kind kmsg.ConfigResourceType) bool {
	return kind == brokerResource || kind == kmsg.ConfigResourceTypeBrokerLogger
}

// namesBrokers reports APIs whose requests name nodes: they are turned into physical ones, and
// resources of a broker are asked from that broker.
func (e *Dispatcher) namesBrokers(key kmsg.Key) bool {
	switch key {
	case kmsg.DescribeConfigs, kmsg.IncrementalAlterConfigs, kmsg.AlterConfigs,
		kmsg.CreateTopics, kmsg.CreatePartitions, kmsg.AlterPartitionAssignments:
		return true
	}
	return false
}

// askBrokers sends a copy of the request that names physical nodes. A node that is not of this
// cluster becomes -2, which brokers refuse by name.
func (e *Dispatcher) askBrokers(ctx context.Context, req *plugin.Request, c *Cluster, node int32) (*plugin.Response, error) {
	req, msg, err := plugin.Edit[kmsg.Request](req)
	if err != nil {
		return nil, err
	}
	brokers := map[int32]bool{}
	name := func(kind kmsg.ConfigResourceType, n *string) {
		if !ofBroker(kind) || *n == "" {
			return
		}
		id, err := strconv.Atoi(*n)
		if err != nil {
			return
		}
		p := e.physical(c, int32(id))
		*n = strconv.Itoa(int(p))
		brokers[p] = true
	}
	toCluster := func(id int32) int32 { return e.physical(c, id) }
	switch m := msg.(type) {
	case *kmsg.DescribeConfigsRequest:
		for i := range m.Resources {
			name(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range m.Resources {
			r := &m.Resources[i]
			for j := range r.Configs {
				r.Configs[j].Value = rewriteConfig(r.ResourceType, r.Configs[j].Name, r.Configs[j].Value, toCluster)
			}
			name(r.ResourceType, &r.ResourceName)
		}
	case *kmsg.AlterConfigsRequest:
		for i := range m.Resources {
			r := &m.Resources[i]
			for j := range r.Configs {
				r.Configs[j].Value = rewriteConfig(r.ResourceType, r.Configs[j].Name, r.Configs[j].Value, toCluster)
			}
			name(r.ResourceType, &r.ResourceName)
		}
	case *kmsg.CreateTopicsRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Configs {
				f := &m.Topics[i].Configs[j]
				f.Value = rewriteConfig(kmsg.ConfigResourceTypeTopic, f.Name, f.Value, toCluster)
			}
			for j := range m.Topics[i].ReplicaAssignment {
				e.physicalAll(c, m.Topics[i].ReplicaAssignment[j].Replicas)
			}
		}
	case *kmsg.CreatePartitionsRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Assignment {
				e.physicalAll(c, m.Topics[i].Assignment[j].Replicas)
			}
		}
	case *kmsg.AlterPartitionAssignmentsRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				e.physicalAll(c, m.Topics[i].Partitions[j].Replicas)
			}
		}
	}
	// Brokers refuse those of the others, one by one. Clients ask each of them over a connection of
	// its own.
	if len(brokers) == 0 {
		node = c.controller()
	} else if !brokers[node] {
		for _, b := range slices.Sorted(maps.Keys(brokers)) {
			if len(c.addresses(b)) > 0 {
				node = b
				break
			}
		}
	}
	return e.exchange(ctx, req, c, node)
}

func (e *Dispatcher) physical(c *Cluster, virtual int32) int32 {
	cluster, node, ok := e.nodes.Physical(virtual)
	if !ok || cluster != c.cfg.Name {
		return -2
	}
	return node
}

func (e *Dispatcher) physicalAll(c *Cluster, list []int32) {
	for i := range list {
		list[i] = e.physical(c, list[i])
	}
}

// virtualizeResource turns the name of a broker resource back and drops messages that quote
// physical node ids.
func (e *Dispatcher) virtualizeResource(c *Cluster, kind kmsg.ConfigResourceType, name *string, message **string) {
	if !ofBroker(kind) || *name == "" {
		return
	}
	id, err := strconv.Atoi(*name)
	if err != nil {
		return // no node's
	}
	*name = strconv.Itoa(int(e.virtual(c, int32(id))))
	if *message != nil && **message != "" {
		m := fmt.Sprintf("the broker refused the request for broker %s", *name)
		*message = &m
	}
}

func (e *Dispatcher) virtualizeConfigs(c *Cluster, m *kmsg.DescribeConfigsResponse) {
	for i := range m.Resources {
		r := &m.Resources[i]
		if !ofBroker(r.ResourceType) {
			for j := range r.Configs {
				e.virtualizeConfig(c, r.ResourceType, r.Configs[j].Name, &r.Configs[j].Value)
				for k := range r.Configs[j].ConfigSynonyms {
					e.virtualizeConfig(c, r.ResourceType, r.Configs[j].ConfigSynonyms[k].Name, &r.Configs[j].ConfigSynonyms[k].Value)
				}
			}
			continue
		}
		node := int32(-1)
		if id, err := strconv.Atoi(r.ResourceName); err == nil {
			node = int32(id)
		}
		e.virtualizeResource(c, r.ResourceType, &r.ResourceName, &r.ErrorMessage)
		for j := range r.Configs {
			if r.ResourceType != brokerResource {
				break // levels of loggers
			}
			v, hide := e.brokerConfig(c, node, r.Configs[j].Name)
			if !hide {
				continue
			}
			present := func(value **string) {
				if *value != nil && **value != "-1" { // what is not set names nobody
					*value = v
				}
			}
			present(&r.Configs[j].Value)
			for k := range r.Configs[j].ConfigSynonyms {
				present(&r.Configs[j].ConfigSynonyms[k].Value)
			}
		}
	}
}

// virtualizeConfig turns the nodes in the value of a setting back.
func (e *Dispatcher) virtualizeConfig(c *Cluster, kind kmsg.ConfigResourceType, name string, value **string) {
	*value = rewriteConfig(kind, name, *value, func(id int32) int32 { return e.virtual(c, id) })
}

// brokerConfig says what clients see of a broker setting that names nodes or addresses.
func (e *Dispatcher) brokerConfig(c *Cluster, node int32, name string) (*string, bool) {
	v := e.nodes.Virtual(c.cfg.Name, node)
	switch kafka.ConfigValueOf(brokerResource, name) {
	case kafka.NodeID:
		return kmsg.StringPtr(strconv.Itoa(int(v.ID))), true
	case kafka.NodeAddress:
		return kmsg.StringPtr(fmt.Sprintf("PLAINTEXT://%s:%d", v.Host, v.Port)), true
	case kafka.NodesHidden:
		return kmsg.StringPtr(""), true
	}
	return nil, false
}

func (e *Dispatcher) virtualizeConfigResources(c *Cluster, m *kmsg.ListConfigResourcesResponse) {
	for i := range m.ConfigResources {
		r := &m.ConfigResources[i]
		if !ofBroker(kmsg.ConfigResourceType(r.Type)) {
			continue
		}
		if id, err := strconv.Atoi(r.Name); err == nil {
			r.Name = strconv.Itoa(int(e.virtual(c, int32(id))))
		}
	}
}

// rewriteConfig gives the nodes in the value of a setting other ids.
func rewriteConfig(kind kmsg.ConfigResourceType, name string, value *string, to func(int32) int32) *string {
	if value == nil || kafka.ConfigValueOf(kind, name) != kafka.NodeList {
		return value
	}
	parts := strings.Split(*value, ",")
	for i, p := range parts {
		partition, node, ok := strings.Cut(p, ":")
		id, err := strconv.ParseInt(strings.TrimSpace(node), 10, 32)
		if !ok || err != nil {
			continue // such as *, or for the broker to refuse
		}
		parts[i] = fmt.Sprintf("%s:%d", partition, to(int32(id)))
	}
	out := strings.Join(parts, ",")
	return &out
}
