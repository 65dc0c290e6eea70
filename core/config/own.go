package config

import (
	"path"
	"strings"
)

// ownTopics are what Kafka, MirrorMaker 2 and other replicators keep for themselves. They mean
// something on the cluster that they are on, and are no copies of each other.
var ownTopics = []string{
	"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata", "__consumer_timestamps",
	"heartbeats", "*.heartbeats", "mm2-*", "*.checkpoints.internal",
}

// Own reports a topic, by its name on a cluster, that clusters or replicators keep for themselves:
// it is never listed, moved or compared.
func (f Failover) Own(physical string) bool {
	own := false
	for _, globs := range [][]string{ownTopics, f.ReplicatorTopics} {
		for _, g := range globs {
			g, not := strings.CutPrefix(g, "!")
			if own != not || !ends(g, physical) { // it would say what is said already, or nothing
				continue
			}
			if ok, _ := path.Match(g, physical); ok {
				own = !not
			}
		}
	}
	return own
}

// ends reports whether a name begins and ends as a glob does before its first and behind its last
// special character. Every name that the glob stands for does, and few others: all topics are
// looked at again and again.
func ends(glob, name string) bool {
	const special = `*?[]\`
	first := strings.IndexAny(glob, special)
	if first < 0 {
		return glob == name
	}
	return strings.HasPrefix(name, glob[:first]) && strings.HasSuffix(name, glob[strings.LastIndexAny(glob, special)+1:])
}
