package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// needed are the APIs without which there is no serving, or no move.
var needed = []kmsg.Key{
	kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetFetch, kmsg.FindCoordinator, kmsg.ListGroups,
	kmsg.DescribeConfigs, kmsg.OffsetForLeaderEpoch, kmsg.InitProducerID,
}

func offered(t *plugin.Topology, key kmsg.Key) bool {
	return t.Versions != nil && slices.ContainsFunc(t.Versions.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == int16(key) })
}

func (d *doctor) versions(subject string, t *plugin.Topology) {
	var lacks []string
	for _, k := range needed {
		if !offered(t, k) {
			lacks = append(lacks, kmsg.NameForKey(int16(k)))
		}
	}
	if len(lacks) > 0 {
		d.say(Fail, subject, "versions", "run Kafka 0.11 or later", "it does not offer %s", strings.Join(lacks, ", "))
		return
	}
	var features []string
	for _, f := range t.Versions.FinalizedFeatures {
		features = append(features, fmt.Sprintf("%s %d", f.Name, f.MaxVersionLevel))
	}
	slices.Sort(features)
	said := "no features finalized"
	if len(features) > 0 {
		said = strings.Join(features, ", ")
	}
	d.say(OK, subject, "versions", "", "%d APIs; %s", len(t.Versions.ApiKeys), said)
}

// shared tells what clients lose because only some clusters have it.
func (d *doctor) shared() {
	if len(d.clusters) < 2 {
		return
	}
	var some []string
	for _, api := range kafka.APIs() {
		if api.GoesTo == kafka.Refused || api.GoesTo == kafka.Gateway {
			continue
		}
		n := 0
		for _, c := range d.clusters {
			if offered(c.Topology(), api.Key) {
				n++
			}
		}
		if n > 0 && n < len(d.clusters) {
			some = append(some, api.Name)
		}
	}
	if len(some) > 0 {
		d.say(Warn, "clusters", "common APIs", "bring the clusters to one version of Kafka", "not every cluster has %s: clients are not offered them", strings.Join(some, ", "))
		return
	}
	d.say(OK, "clusters", "common APIs", "", "all clusters have the same")
}

// skewLimit is how far a clock may be off: record timestamps of two clusters are compared with each
// other.
const skewLimit = time.Second

// clock compares this machine's clock with the active controller's, which is the only one that
// Kafka tells.
func (d *doctor) clock(ctx context.Context, subject string, c *upstream.Cluster) {
	const check = "clock"
	req := kmsg.NewPtrDescribeQuorumRequest()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = "__cluster_metadata"
	t.Partitions = append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	before := time.Now()
	if !offered(c.Topology(), kmsg.DescribeQuorum) {
		d.say(OK, subject, check, "", "unknown: the cluster does not tell (Kafka 3.3 with KRaft does)")
		return
	}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		d.say(OK, subject, check, "", "unknown: %v", err)
		return
	}
	took := time.Since(before)
	for _, t := range resp.(*kmsg.DescribeQuorumResponse).Topics {
		for _, p := range t.Partitions {
			for _, v := range p.CurrentVoters {
				if v.ReplicaID != p.LeaderID || v.LastCaughtUpTimestamp <= 0 {
					continue
				}
				skew := time.UnixMilli(v.LastCaughtUpTimestamp).Sub(before.Add(took / 2)).Round(time.Millisecond)
				side := "ahead of"
				if skew < 0 {
					side = "behind"
				}
				if skew.Abs() > skewLimit+took {
					d.say(Warn, subject, check, "synchronise the clocks (chrony, ntpd) of the brokers and of this machine", "the controller's clock is %s %s this machine's", skew.Abs(), side)
				} else {
					d.say(OK, subject, check, "", "the controller's is %s %s this machine's", skew.Abs(), side)
				}
				return
			}
		}
	}
	d.say(OK, subject, check, "", "unknown: the cluster does not tell")
}
