package standing

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	lookEvery = time.Minute
	lookLimit = 15 * time.Second
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
		return block.Because(block.ByTransactions, errors.New("a transaction has been open for a minute"))
	}
	return nil
}

// look looks, unless the last time was less than a minute ago and there is no new topic.
func (w *Watch) look(e Env, topics []*catalog.Topic) *look {
	w.ready.mu.Lock()
	last := w.ready.looks[e.VirtualCluster]
	w.ready.mu.Unlock()
	fresh := slices.ContainsFunc(topics, func(t *catalog.Topic) bool { return last == nil || !last.known[t.Name] })
	due := last == nil || time.Since(last.at) >= lookEvery
	if !due && !fresh {
		return last
	}
	ctx, cancel := context.WithTimeout(w.ctx, lookLimit)
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
	w.ready.mu.Lock()
	defer w.ready.mu.Unlock()
	w.ready.looks[e.VirtualCluster] = now
	return now
}

// settings notes which copies have other settings than their homes, or may not be written to.
func (l *look) settings(ctx context.Context, e Env, topics []*catalog.Topic) {
	n := len(e.Clusters)
	has, locked, away := make([]map[string]copies.Settings, n), make([]map[string]bool, n), make([][]*catalog.Topic, n)
	_ = guard.Parallel(n, n, func(i int) error {
		c := e.Clusters[i]
		if c.Reachable() {
			away[i] = slices.DeleteFunc(slices.Clone(topics), func(t *catalog.Topic) bool { return t.Home == c.Name() })
			has[i], locked[i] = copies.EverySetting(ctx, joint.Alone(c), there(topics, c)), copies.Unwritable(ctx, joint.Alone(c), there(away[i], c))
		}
		return nil
	})
	of := map[string]map[string]copies.Settings{}
	for i, c := range e.Clusters {
		of[c.Name()] = has[i]
	}
	for i, c := range e.Clusters {
		for _, t := range away[i] {
			name := t.Physical(c.Name())
			a, b := of[t.Home][t.Physical(t.Home)], has[i][name]
			if err := a.Differ(b, t.Home, c.Name()); err != nil {
				l.blocked[copyOf{t.Name, c.Name()}] = block.Because(block.BySettings, err)
			} else if locked[i][name] {
				l.blocked[copyOf{t.Name, c.Name()}] = block.Because(block.ByRights, copies.NoWrite(c.Name(), name))
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
	virtual, byLeader := map[string]map[string]string{}, map[plugin.Cluster]map[int32][]joint.Place{}
	for _, t := range topics {
		home := e.cluster(t.Home)
		if home == nil || !home.Reachable() {
			continue
		}
		s, err := copies.NewSide(home, t.Physical(t.Home))
		if err != nil {
			continue
		}
		if byLeader[home] == nil {
			virtual[t.Home], byLeader[home] = map[string]string{}, map[int32][]joint.Place{}
		}
		virtual[t.Home][s.Name] = t.Name
		for leader, parts := range s.ByLeader() {
			for _, p := range parts {
				byLeader[home][leader] = append(byLeader[home][leader], joint.Place{Topic: s.Name, Partition: p})
			}
		}
	}
	type asked struct {
		home   plugin.Cluster
		leader int32
		places []joint.Place
	}
	var all []asked
	for home, leaders := range byLeader {
		for leader, places := range leaders {
			for some := range slices.Chunk(places, joint.MostPartitions) {
				all = append(all, asked{home, leader, some})
			}
		}
	}
	var mu sync.Mutex
	_ = guard.Parallel(len(all), copies.AsksAtOnce, func(i int) error {
		home := all[i].home
		copies.OpenTransactionsOn(ctx, joint.Alone(home), all[i].leader, all[i].places, func(topic string, p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
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
