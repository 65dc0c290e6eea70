package failover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	lookEvery  = time.Minute
	lookLimit  = 15 * time.Second
	lookAtOnce = 200 // topics in a request
)

// look is what topics and their copies are asked for once a minute: settings, rights, and
// transactions.
type look struct {
	at      time.Time
	blocked map[copyOf]error
	known   map[string]bool // topics that it is of
	// open are the transactions that were open, and stuck the topics on which one was so the time
	// before as well.
	open  map[openTransaction]bool
	stuck map[string]bool
}

type openTransaction struct {
	topic           string
	partition       int32
	producer, start int64
}

// of is what would refuse a move of a topic to a cluster.
func (l *look) of(t *catalog.Topic, to string) error {
	if err := l.blocked[copyOf{t.Name, to}]; err != nil {
		return err
	}
	if l.stuck[t.Name] {
		return because(ByTransactions, errors.New("a transaction has been open for a minute"))
	}
	return nil
}

// look looks, unless the last time was less than a minute ago and there is no new topic.
func (r *Runner) look(e Env, topics []*catalog.Topic) *look {
	r.ready.mu.Lock()
	last := r.ready.looks[e.VirtualCluster]
	r.ready.mu.Unlock()
	fresh := slices.ContainsFunc(topics, func(t *catalog.Topic) bool { return last == nil || !last.known[t.Name] })
	due := last == nil || time.Since(last.at) >= lookEvery
	if !due && !fresh {
		return last
	}
	ctx, cancel := context.WithTimeout(r.ctx, lookLimit)
	defer cancel()
	now := &look{at: time.Now(), blocked: map[copyOf]error{}, known: map[string]bool{}, open: map[openTransaction]bool{}, stuck: map[string]bool{}}
	for _, t := range topics {
		now.known[t.Name] = true
	}
	now.settings(ctx, e, topics)
	if due {
		now.transactions(ctx, e, topics, last)
	} else { // what was open may be closed by the time that a minute is over
		now.at, now.open, now.stuck = last.at, last.open, last.stuck
	}
	r.ready.mu.Lock()
	defer r.ready.mu.Unlock()
	r.ready.looks[e.VirtualCluster] = now
	return now
}

// settings notes which copies have other settings than their homes, or may not be written to.
func (l *look) settings(ctx context.Context, e Env, topics []*catalog.Topic) {
	n := len(e.Clusters)
	has, locked, away := make([]map[string]settings, n), make([]map[string]bool, n), make([][]*catalog.Topic, n)
	_ = parallel(n, n, func(i int) error {
		c := e.Clusters[i]
		if c.Reachable() {
			away[i] = slices.DeleteFunc(slices.Clone(topics), func(t *catalog.Topic) bool { return t.Home == c.Name() })
			has[i], locked[i] = everySetting(ctx, alone(c), there(topics, c)), unwritable(ctx, alone(c), there(away[i], c))
		}
		return nil
	})
	of := map[string]map[string]settings{}
	for i, c := range e.Clusters {
		of[c.Name()] = has[i]
	}
	for i, c := range e.Clusters {
		for _, t := range away[i] {
			name := t.Physical(c.Name())
			a, b := of[t.Home][t.Physical(t.Home)], has[i][name]
			if err := a.differ(b, t.Home, c.Name()); err != nil {
				l.blocked[copyOf{t.Name, c.Name()}] = because(BySettings, err)
			} else if locked[i][name] {
				l.blocked[copyOf{t.Name, c.Name()}] = because(ByRights, noWrite(c.Name(), name))
			}
		}
	}
}

// there are the names of the topics that a cluster has.
func there(topics []*catalog.Topic, c plugin.Cluster) (names []string) {
	has := c.Topology().Topics
	for _, t := range topics {
		if name := t.Physical(c.Name()); has[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// transactions notes which are open. One that was open a minute ago is none that a move just waits
// for.
func (l *look) transactions(ctx context.Context, e Env, topics []*catalog.Topic, last *look) {
	virtual, byLeader := map[string]map[string]string{}, map[plugin.Cluster]map[int32][]place{}
	for _, t := range topics {
		home := e.cluster(t.Home)
		if home == nil || !home.Reachable() {
			continue
		}
		s, err := newSide(home, t.Physical(t.Home))
		if err != nil {
			continue
		}
		if byLeader[home] == nil {
			virtual[t.Home], byLeader[home] = map[string]string{}, map[int32][]place{}
		}
		virtual[t.Home][s.topic] = t.Name
		for leader, parts := range s.byLeader() {
			for _, p := range parts {
				byLeader[home][leader] = append(byLeader[home][leader], place{s.topic, p})
			}
		}
	}
	type asked struct {
		home   plugin.Cluster
		leader int32
		places []place
	}
	var all []asked
	for home, leaders := range byLeader {
		for leader, places := range leaders {
			for some := range slices.Chunk(places, mostPartitions) {
				all = append(all, asked{home, leader, some})
			}
		}
	}
	var mu sync.Mutex
	_ = parallel(len(all), asksAtOnce, func(i int) error {
		home := all[i].home
		openOn(ctx, alone(home), all[i].leader, all[i].places, func(topic string, p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
			tx := openTransaction{virtual[home.Name()][topic], p, a.ProducerID, a.CurrentTxnStartOffset}
			mu.Lock()
			defer mu.Unlock()
			l.open[tx] = true
			if last != nil && last.open[tx] {
				l.stuck[tx.topic] = true
			}
		})
		return nil
	})
}

// openOn visits the open transactions on partitions, as far as their leader tells.
func openOn(ctx context.Context, c plugin.Cluster, leader int32, places []place, visit func(topic string, p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer)) {
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, at := range places {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != at.topic {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = at.topic
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, at.partition)
	}
	resp, err := c.Do(ctx, leader, req)
	if err != nil {
		return
	}
	for _, rt := range resp.(*kmsg.DescribeProducersResponse).Topics {
		for _, rp := range rt.Partitions {
			for _, a := range rp.ActiveProducers {
				if a.CurrentTxnStartOffset >= 0 {
					visit(rt.Topic, rp.Partition, a)
				}
			}
		}
	}
}

// settings are those of a topic by which a copy may take other records than its home.
type settings map[string]string

// compared are the names of settings.
var comparedSettings = []string{"max.message.bytes", "message.timestamp.type"}

// differ says in what a copy has other settings than its home.
func (s settings) differ(copied settings, home, other string) error {
	for _, k := range comparedSettings {
		if s[k] != copied[k] && s[k] != "" && copied[k] != "" {
			return fmt.Errorf("%s is %s on %s, but %s on %s", k, s[k], home, copied[k], other)
		}
	}
	return nil
}

// everySetting asks for the settings of topics, as far as the cluster tells.
func everySetting(ctx context.Context, c plugin.Cluster, topics []string) map[string]settings {
	out := map[string]settings{}
	var mu sync.Mutex
	inChunks(topics, func(some []string) {
		all, err := settingsOf(ctx, c, some)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			maps.Copy(out, all)
		}
	})
	return out
}

// inChunks does something for so many topics at a time as a request names, some side by side.
func inChunks(topics []string, do func(some []string)) {
	chunks := slices.Collect(slices.Chunk(topics, lookAtOnce))
	_ = parallel(len(chunks), asksAtOnce, func(i int) error { do(chunks[i]); return nil })
}

func settingsOf(ctx context.Context, c plugin.Cluster, topics []string) (map[string]settings, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, name, comparedSettings
		req.Resources = append(req.Resources, r)
	}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	out := map[string]settings{}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		s := settings{}
		for _, x := range res.Configs {
			if x.Value != nil {
				s[x.Name] = *x.Value
			}
		}
		out[res.ResourceName] = s
	}
	return out, nil
}

// write is the bit of the operation WRITE in a set of authorized operations (KIP-430).
const write = 1 << kmsg.ACLOperationWrite

func noWrite(cluster, topic string) error {
	return fmt.Errorf("%s does not let the gateway write to %q: allow it the operation Write there", cluster, topic)
}

// unwritable are the topics that the cluster does not let the gateway, and so clients, write to, as
// far as it tells.
func unwritable(ctx context.Context, c plugin.Cluster, topics []string) map[string]bool {
	out := map[string]bool{}
	var mu sync.Mutex
	inChunks(topics, func(some []string) {
		_ = denied(ctx, c, some, func(topic string) {
			mu.Lock()
			defer mu.Unlock()
			out[topic] = true
		})
	})
	return out
}

// denied visits those of the topics that may not be written to.
func denied(ctx context.Context, c plugin.Cluster, topics []string, visit func(topic string)) error {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if ops := t.AuthorizedOperations; t.ErrorCode == 0 && t.Topic != nil && ops != math.MinInt32 && ops&write == 0 {
			visit(*t.Topic)
		}
	}
	return nil
}
