package traces

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	setting  = "max.message.bytes"
	askAgain = 30 * time.Second // a limit that is known
	askLater = 10 * time.Second // one that could not be found out
	askLimit = time.Second
	// mostKnown is of how many topics limits are kept.
	mostKnown = 10_000
)

// limits knows how long a batch of a topic may be on its home: a header must not make one too long
// that was not.
type limits struct {
	env plugin.Env

	mu    sync.Mutex
	known map[place]*known
}

// place is a topic on a cluster.
type place struct{ cluster, topic string }

type known struct {
	mu    sync.Mutex
	most  int // 0: unknown
	until time.Time
}

// most is how many bytes a batch may have; 0 while that is unknown. A first question waits for the
// cluster, a second at most.
func (l *limits) most(ctx context.Context, req *plugin.Request, topic string, id [16]byte) int {
	cluster, at := l.home(req, topic, id)
	if cluster == nil || at.topic == "" {
		return 0
	}
	l.mu.Lock()
	k := l.known[at]
	if k == nil {
		if l.known == nil || len(l.known) >= mostKnown {
			l.known = map[place]*known{}
		}
		k = &known{}
		l.known[at] = k
	}
	l.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return k.most
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	most, err := ask(ctx, cluster, at.topic)
	k.most, k.until = most, time.Now().Add(askAgain)
	if err != nil {
		k.until = time.Now().Add(askLater)
		l.env.Log.Warn("records get no trace context: it is not known how long batches may be", "topic", at.topic, "cluster", at.cluster, "error", err)
	}
	return most
}

// home is where a topic of a request is written to, and its name there.
func (l *limits) home(req *plugin.Request, topic string, id [16]byte) (plugin.Cluster, place) {
	name := req.Target.Cluster
	if name == "" {
		name = req.Session.Cluster
	}
	if topic == "" {
		if t := l.env.Catalog.ByID(id); t != nil {
			topic = t.Name
		} else if c := l.env.Cluster(name); c != nil && c.Topology().IDs[id] != nil {
			topic = c.Topology().IDs[id].Name
		}
	}
	t := l.env.Catalog.ByPhysical(name, topic)
	if t == nil {
		t = l.env.Catalog.Topic(topic)
	}
	switch {
	case t != nil && t.Home != "":
		return l.env.Cluster(t.Home), place{t.Home, t.Physical(t.Home)}
	case l.env.Cluster(name) != nil:
		return l.env.Cluster(name), place{name, topic}
	}
	return l.env.Clusters[0], place{l.env.Clusters[0].Name(), topic}
}

func ask(ctx context.Context, c plugin.Cluster, topic string) (int, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{setting}
	req.Resources = []kmsg.DescribeConfigsRequestResource{r}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return 0, err
	}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		if res.ErrorCode != 0 {
			return 0, fmt.Errorf("its settings can't be read (error %d): allow the gateway the operation DescribeConfigs", res.ErrorCode)
		}
		for _, c := range res.Configs {
			if c.Name == setting && c.Value != nil {
				return strconv.Atoi(*c.Value)
			}
		}
	}
	return 0, fmt.Errorf("the cluster does not tell %s", setting)
}
