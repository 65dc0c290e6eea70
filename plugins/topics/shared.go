package topics

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// A virtual cluster with a prefix shares its clusters with others. What is everybody's it may not
// change, and what is told of others it may not read: brokers would answer so a client whose ACLs
// end at the prefix.

const everybodys = "a virtual cluster with a prefix shares its clusters with others: this is set on the clusters"

// confines reports an API that is about everybody's alone.
func (t *Topics) confines(api kafka.API) bool { return t.cfg.Prefix != "" && api.Scope == kafka.Whole }

// others is what of a request is everybody's, and answered here.
type others struct {
	configs []resource // refused
	elected bool       // a client that asks for all leaders is not told of those that are as they should be
}

type resource struct {
	kind kmsg.ConfigResourceType
	name string
	code int16
}

// confine takes what is everybody's out of a request, and reports that something is left.
func (n *names) confine(msg kmsg.Request) (left bool) {
	if n.cfg.Prefix == "" {
		return true
	}
	switch m := msg.(type) {
	case *kmsg.AlterConfigsRequest:
		m.Resources = slices.DeleteFunc(m.Resources, func(r kmsg.AlterConfigsRequestResource) bool { return n.refuses(r.ResourceType, r.ResourceName, false) })
		return len(m.Resources) > 0 || len(n.others.configs) == 0
	case *kmsg.IncrementalAlterConfigsRequest:
		m.Resources = slices.DeleteFunc(m.Resources, func(r kmsg.IncrementalAlterConfigsRequestResource) bool {
			return n.refuses(r.ResourceType, r.ResourceName, false)
		})
		return len(m.Resources) > 0 || len(n.others.configs) == 0
	case *kmsg.DescribeConfigsRequest:
		m.Resources = slices.DeleteFunc(m.Resources, func(r kmsg.DescribeConfigsRequestResource) bool {
			return n.refuses(r.ResourceType, r.ResourceName, true)
		})
		return len(m.Resources) > 0 || len(n.others.configs) == 0
	case *kmsg.ElectLeadersRequest:
		if m.Topics != nil {
			return true
		}
		n.others.elected = true
		m.Topics = n.own()
		return len(m.Topics) > 0
	}
	return true
}

// refuses notes a resource that is everybody's. What brokers are set to may be read: clients look
// at it before they make topics.
func (n *names) refuses(kind kmsg.ConfigResourceType, name string, read bool) bool {
	switch kind {
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
		if read {
			return false
		}
	case kmsg.ConfigResourceTypeClientMetrics:
	case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeGroupConfig:
		return false
	default: // what a newer cluster knows by it may be everybody's
		n.others.configs = append(n.others.configs, resource{kind, name, int16(kafka.InvalidRequest)})
		return true
	}
	n.others.configs = append(n.others.configs, resource{kind, name, int16(kafka.ClusterAuthorizationFailed)})
	return true
}

// refusesElection reports an answer that refuses the request as a whole, which names no topic where
// the client has named none.
func refusesElection(m *kmsg.ElectLeadersResponse) bool {
	return m.ErrorCode != 0 || slices.ContainsFunc(m.Topics, func(t kmsg.ElectLeadersResponseTopic) bool {
		return slices.ContainsFunc(t.Partitions, func(p kmsg.ElectLeadersResponseTopicPartition) bool {
			return kafka.Code(p.ErrorCode) == kafka.InvalidRequest
		})
	})
}

// gone reports a topic that the cluster does not have any more, which nobody has asked for.
func gone(t kmsg.ElectLeadersResponseTopic) bool {
	return len(t.Partitions) > 0 && !slices.ContainsFunc(t.Partitions, func(p kmsg.ElectLeadersResponseTopicPartition) bool {
		return kafka.Code(p.ErrorCode) != kafka.UnknownTopicOrPartition
	})
}

// own lists the partitions of the topics that clients see and that live on the cluster.
func (n *names) own() []kmsg.ElectLeadersRequestTopic {
	out := []kmsg.ElectLeadersRequestTopic{}
	for _, t := range n.env.Catalog.Topics() {
		if t.Home != n.cluster.Name() || n.Hides(t.Name) || n.env.Catalog.Hidden(t.Name) {
			continue
		}
		et := kmsg.NewElectLeadersRequestTopic()
		et.Topic = t.Name
		for p := range t.Partitions {
			et.Partitions = append(et.Partitions, int32(p))
		}
		out = append(out, et)
	}
	return out
}

// confined answers a request of which nothing is left.
func (n *names) confined(msg kmsg.Request) (*plugin.Response, error) {
	resp := msg.ResponseKind()
	resp.SetVersion(msg.GetVersion())
	n.complete(resp)
	return plugin.Respond(resp), nil
}

// complete adds to an answer what was not asked for.
func (n *names) complete(msg kmsg.Response) {
	text := everybodys
	switch m := msg.(type) {
	case *kmsg.AlterConfigsResponse:
		for _, r := range n.others.configs {
			m.Resources = append(m.Resources, kmsg.AlterConfigsResponseResource{ErrorCode: r.code, ErrorMessage: &text, ResourceType: r.kind, ResourceName: r.name})
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, r := range n.others.configs {
			m.Resources = append(m.Resources, kmsg.IncrementalAlterConfigsResponseResource{ErrorCode: r.code, ErrorMessage: &text, ResourceType: r.kind, ResourceName: r.name})
		}
	case *kmsg.DescribeConfigsResponse:
		for _, r := range n.others.configs {
			m.Resources = append(m.Resources, kmsg.DescribeConfigsResponseResource{ErrorCode: r.code, ErrorMessage: &text, ResourceType: r.kind, ResourceName: r.name})
		}
	case *kmsg.ElectLeadersResponse:
		if !n.others.elected {
			return
		}
		if refusesElection(m) {
			m.Topics = nil
			return
		}
		m.Topics = slices.DeleteFunc(m.Topics, gone)
		for i := range m.Topics {
			m.Topics[i].Partitions = slices.DeleteFunc(m.Topics[i].Partitions, func(p kmsg.ElectLeadersResponseTopicPartition) bool {
				return kafka.Code(p.ErrorCode) == kafka.ElectionNotNeeded || kafka.Code(p.ErrorCode) == kafka.UnknownTopicOrPartition
			})
		}
	}
}
