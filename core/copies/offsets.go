package copies

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Ask asks the clusters that live for topics, all at once: first for those that are copies
// there, so that a home has by then at least what its copies have. Without starts, they are not
// asked where logs begin.
func Ask(ctx context.Context, clusters []plugin.Cluster, topics []*catalog.Topic, starts bool) Extents {
	ctx, cancel := context.WithTimeout(ctx, readingLimit)
	defer cancel()
	out := Extents{}
	for _, c := range clusters {
		if c.Reachable() {
			out[c.Name()] = OnCluster{Starts: map[string][]int64{}, Ends: map[string][]int64{}, Topology: c.Topology()}
		}
	}
	for _, home := range []bool{false, true} {
		var wg guard.Group
		for _, c := range clusters {
			at, lives := out[c.Name()]
			var names []string
			for _, t := range topics {
				if (t.Home == c.Name()) == home {
					names = append(names, t.Physical(c.Name()))
				}
			}
			if !lives || len(names) == 0 {
				continue
			}
			if starts {
				wg.Go(func() { maps.Copy(at.Starts, allOffsets(ctx, joint.Alone(c), names, start)) })
			}
			wg.Go(func() { maps.Copy(at.Ends, allOffsets(ctx, joint.Alone(c), names, end)) })
		}
		wg.Wait()
	}
	return out
}

// readingLimit is how long clusters may take to say where topics begin and end.
const readingLimit = 5 * time.Second

// AllEnds asks for the offsets behind the last records of all partitions of topics, by name: in as
// few requests as there are leaders, unless those have very many. What is not answered is -1.
func AllEnds(ctx context.Context, c plugin.Cluster, topics []string) map[string][]int64 {
	return allOffsets(ctx, c, topics, end)
}

func allOffsets(ctx context.Context, c plugin.Cluster, topics []string, timestamp int64) map[string][]int64 {
	out := make(map[string][]int64, len(topics))
	requests := offsetRequests(c.Topology(), topics, timestamp, out)
	var mu sync.Mutex
	_ = guard.Parallel(len(requests), AsksAtOnce, func(i int) error {
		resp, err := c.Do(ctx, requests[i].leader, requests[i].ListOffsetsRequest)
		if err != nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			l := out[rt.Topic]
			for _, rp := range rt.Partitions {
				if rp.ErrorCode == 0 && rp.Partition >= 0 && int(rp.Partition) < len(l) {
					l[rp.Partition] = rp.Offset
				}
			}
		}
		return nil
	})
	return out
}

// AsksAtOnce is how many requests a cluster is asked side by side about many topics.
const AsksAtOnce = 8

// ofLeader is a request for partitions of one leader.
type ofLeader struct {
	leader     int32
	partitions int
	*kmsg.ListOffsetsRequest
}

// offsetRequests are the requests for offsets of topics, of which unknown is made what holds while
// they are not answered.
func offsetRequests(topo *plugin.Topology, topics []string, timestamp int64, unknown map[string][]int64) (requests []*ofLeader) {
	last := map[int32]*ofLeader{}
	for _, name := range topics {
		t := topo.Topics[name]
		if t == nil || unknown[name] != nil {
			continue
		}
		unknown[name] = slices.Repeat([]int64{-1}, len(t.Partitions))
		for p, x := range t.Partitions {
			if x.Leader < 0 {
				continue
			}
			req := last[x.Leader]
			if req == nil || req.partitions == joint.MostPartitions {
				req = &ofLeader{leader: x.Leader, ListOffsetsRequest: kmsg.NewPtrListOffsetsRequest()}
				req.ReplicaID = -1
				last[x.Leader], requests = req, append(requests, req)
			}
			req.partitions++
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != name {
				rt := kmsg.NewListOffsetsRequestTopic()
				rt.Topic = name
				req.Topics = append(req.Topics, rt)
			}
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = int32(p), timestamp, -1
			at := &req.Topics[len(req.Topics)-1]
			at.Partitions = append(at.Partitions, rp)
		}
	}
	return requests
}
