package config

import (
	"path"
	"strings"
)

// ownTopics are what Kafka, MirrorMaker 2 and other replicators keep for themselves. They mean something on the cluster
// that they are on, and are no copies of each other.
var ownTopics = []string{
	"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata", "__consumer_timestamps",
	"heartbeats", "*.heartbeats", "mm2-*", "*.checkpoints.internal",
}

// Own reports a topic, by its name on a cluster, that clusters or replicators keep for themselves: it is never listed,
// moved or compared.
func (f Failover) Own(physical string) bool {
	own := false
	for _, globs := range [][]string{ownTopics, f.ReplicatorTopics} {
		for _, g := range globs {
			g, not := strings.CutPrefix(g, "!")
			if ok, _ := path.Match(g, physical); ok {
				own = !not
			}
		}
	}
	return own
}
