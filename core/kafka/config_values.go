package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// ConfigValue says what the value of a setting names, that has another name for clients.
type ConfigValue string

// What values of settings name.
const (
	NodeID      ConfigValue = "the id of the broker"
	NodeList    ConfigValue = "partition:broker, and so on" // of replicas
	NodeAddress ConfigValue = "addresses of the broker"
	NodesHidden ConfigValue = "addresses that are nobody's business"
	TopicName   ConfigValue = "a topic"
)

// configValues are Kafka's settings whose values name nodes, addresses or topics. A test with a
// real broker fails for one that is missing.
var configValues = map[kmsg.ConfigResourceType]map[string]ConfigValue{
	kmsg.ConfigResourceTypeTopic: {
		"leader.replication.throttled.replicas":   NodeList,
		"follower.replication.throttled.replicas": NodeList,
	},
	kmsg.ConfigResourceTypeBroker: {
		"node.id":                             NodeID,
		"broker.id":                           NodeID,
		"listeners":                           NodeAddress,
		"advertised.listeners":                NodeAddress,
		"advertised.host.name":                NodeAddress,
		"host.name":                           NodeAddress,
		"controller.quorum.voters":            NodesHidden,
		"controller.quorum.bootstrap.servers": NodesHidden,
		"zookeeper.connect":                   NodesHidden,
	},
	kmsg.ConfigResourceTypeGroupConfig: {
		"errors.deadletterqueue.topic.name": TopicName, // KIP-1191
	},
}

// ConfigValueOf says what the value of a setting names, "" if nothing of the kind.
func ConfigValueOf(kind kmsg.ConfigResourceType, name string) ConfigValue {
	return configValues[kind][name]
}
