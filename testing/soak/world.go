package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Options say how a schedule is run.
type Options struct {
	Dir      string        // for the gateway
	Log      io.Writer     // for what it logs
	Every    time.Duration // between the records of a producer
	Patience time.Duration // how long a step may take
	// More are clients of one topic each, by name, that run besides.
	Producers, Consumers map[string]clients.Client
}

// Result is what came of a schedule.
type Result struct {
	Moves  int
	Acked  int
	Again  int           // records that groups got again, where the gateway was killed
	Lost   int           // acknowledged records that a dying home has not handed on, all of them reported
	Pause  time.Duration // the longest of a producer
	Faults []string      // none: nobody has noticed anything
}

// world is a running schedule.
type world struct {
	plan     Plan
	opts     Options
	clusters map[string]kafkatest.Cluster
	gw       *gatewaytest.Process
	members  map[string][]func()          // by group: what makes each of its members leave
	joined   map[int]int                  // how many have come to a group since it began
	of       map[string]*clients.Recorder // by topic
	home     map[string]string
	copiers  map[string]*kafkatest.Copier
	moves    int
	died     bool

	consumers sync.WaitGroup
	consuming context.Context
	lost      int // acknowledged records that a home that died has kept to itself
}

// Run runs a schedule over two clusters, prod and dr, that have none of its topics. An error is of
// what the clients and the gateway stand on; what they did wrong is in the result.
func Run(ctx context.Context, plan Plan, o Options, prod, dr kafkatest.Cluster) (res Result, err error) {
	w := &world{
		plan: plan, opts: o, clusters: map[string]kafkatest.Cluster{"prod": prod, "dr": dr},
		of: map[string]*clients.Recorder{}, home: map[string]string{}, copiers: map[string]*kafkatest.Copier{}, members: map[string][]func(){}, joined: map[int]int{},
	}
	if err := w.open(ctx); err != nil {
		return res, err
	}
	defer w.close()
	pctx, stopProducers := context.WithCancel(ctx)
	defer stopProducers()
	cctx, stopConsumers := context.WithCancel(ctx)
	defer stopConsumers()
	var producers sync.WaitGroup
	w.start(cctx, pctx, &producers)
	for i, s := range plan.Steps {
		if err := w.step(ctx, s); err != nil {
			res.Faults = append(res.Faults, fmt.Sprintf("step %d, %s%v: %v", i, s.Kind, s.Topics, err))
			break
		}
	}
	stopProducers()
	if !within(o.Patience, producers.Wait) {
		res.Faults = append(res.Faults, "the producers do not end")
	}
	if err := w.until(ctx, "every consumer to have everything", func() bool {
		return !slices.ContainsFunc(slices.Collect(maps.Values(w.of)), func(r *clients.Recorder) bool { return !r.Complete() })
	}); err != nil {
		res.Faults = append(res.Faults, err.Error())
	}
	// Who comes afterwards gets the same, at the same offsets.
	if len(res.Faults) == 0 {
		late := []string{"late", "late, committed"}
		for i, name := range late {
			s := w.spread(plan.Topics...)
			s.Committed = i == 1
			w.consumers.Go(func() { _ = s.Consume(cctx, name, "", 0) })
		}
		if err := w.until(ctx, "those who come afterwards to have everything", func() bool {
			return !slices.ContainsFunc(slices.Collect(maps.Values(w.of)), func(r *clients.Recorder) bool { return !r.CompleteWith(late...) })
		}); err != nil {
			res.Faults = append(res.Faults, err.Error())
		}
	}
	if len(res.Faults) == 0 {
		if err := w.places(ctx); err != nil {
			res.Faults = append(res.Faults, err.Error())
		}
	}
	stopConsumers()
	if !within(o.Patience, w.consumers.Wait) {
		res.Faults = append(res.Faults, "the consumers do not end")
	}
	res.Moves, res.Lost = w.moves, w.lost
	for _, t := range plan.Topics {
		r := w.of[t.Name].Report()
		res.Acked += r.Acked
		res.Again += r.Repeated
		res.Pause = max(res.Pause, time.Duration(r.ProducerPauseMS)*time.Millisecond)
		if !r.Clean() {
			res.Faults = append(res.Faults, fmt.Sprintf("%s: %d lost, %d duplicated, %d reordered, %d errors", t.Name, r.Lost, r.Duplicated, r.Reordered, r.ClientErrors))
			res.Faults = append(res.Faults, r.Details[:min(len(r.Details), 12)]...)
			res.Faults = append(res.Faults, w.lineage(t)...)
		}
	}
	return res, nil
}

// lineage tells where the partitions of a topic have lived, and what of them was reported as lost.
func (w *world) lineage(t Topic) (out []string) {
	for p := range t.Ahead {
		s := fmt.Sprintf("%s/%d:", t.Name, p)
		for _, x := range w.gw.Topic(virtualCluster, t.Name).Partition(int32(p)).Segments {
			s += fmt.Sprintf(" %d to %d on %s from %d;", x.Start, x.End, x.Cluster, x.PhysicalStart)
		}
		for _, m := range w.gw.Moves() {
			for _, r := range m.PossibleLoss {
				if m.Topic == t.Name && r.Partition == int32(p) {
					s += fmt.Sprintf(" lost %d to %d;", r.From, r.To)
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// within reports whether f returns in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// spread are some topics as clients use them.
func (w *world) spread(topics ...Topic) clients.Spread {
	s := clients.Spread{Bootstrap: w.gw.Bootstrap, Cuts: w.plan.Kills(), Rate: w.opts.Every, Partitions: map[string][]int32{}, Of: w.of}
	for _, t := range topics {
		s.Topics = append(s.Topics, t.Name)
		for p := range t.Ahead {
			s.Partitions[t.Name] = append(s.Partitions[t.Name], int32(p))
		}
	}
	return s
}

// some are topics of the schedule by their numbers.
func (w *world) some(numbers []int) (out []Topic) {
	for _, i := range numbers {
		out = append(out, w.plan.Topics[i])
	}
	return out
}

// open makes the topics, the distances of their copies, the gateway and the copiers.
func (w *world) open(ctx context.Context) error {
	for name, c := range w.clusters {
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return err
		}
		defer cl.Close()
		admin := kadm.NewClient(cl)
		for _, t := range w.plan.Topics {
			if _, err := admin.CreateTopic(ctx, int32(len(t.Ahead)), -1, nil, t.Name); err != nil {
				return fmt.Errorf("create %s on %s: %w", t.Name, name, err)
			}
			if name != "dr" {
				continue
			}
			before := kadm.Offsets{}
			for p, n := range t.Ahead {
				for range n {
					if err := cl.ProduceSync(ctx, &kgo.Record{Topic: t.Name, Partition: int32(p), Value: []byte("older")}).FirstErr(); err != nil {
						return err
					}
				}
				if n > 0 {
					before.AddOffset(t.Name, int32(p), n, -1)
				}
			}
			if len(before) > 0 {
				if _, err := admin.DeleteRecords(ctx, before); err != nil {
					return err
				}
			}
		}
	}
	for _, t := range w.plan.Topics {
		w.of[t.Name], w.home[t.Name] = clients.NewRecorder(), "prod"
		if err := w.copy(ctx, t, "prod", nil); err != nil {
			return err
		}
	}
	var err error
	w.gw, err = gatewaytest.StartSelf(ctx, w.opts.Dir, w.home, "          groups: {takeover: 3s}\n", w.opts.Log, w.clusters["prod"], w.clusters["dr"])
	return err
}

func (w *world) close() {
	for _, c := range w.copiers {
		c.Stop()
	}
	if w.gw != nil {
		w.gw.Kill()
	}
}

func other(cluster string) string { return map[string]string{"prod": "dr", "dr": "prod"}[cluster] }

// copy replicates a topic from a cluster to the other one, from the offsets on.
func (w *world) copy(ctx context.Context, t Topic, from string, start map[int32]int64) (err error) {
	faults, ok := Unfaithful[t.Replicator]
	if !ok {
		faults = Replicators[t.Replicator]
	}
	w.copiers[t.Name], err = kafkatest.StartCopier(ctx, kafkatest.CopierConfig{
		From: w.clusters[from].Bootstrap(), To: w.clusters[other(from)].Bootstrap(), Topics: []string{t.Name},
		Start: map[string]map[int32]int64{t.Name: start}, Faults: faults,
	})
	return err
}

// virtualCluster is the one that gatewaytest makes.
const virtualCluster = "passThroughTenant"

// turn turns the replicator of a topic round after a move, from the cut on, as an operator would.
func (w *world) turn(ctx context.Context, t Topic) error {
	c := w.copiers[t.Name]
	at := c.Position()[t.Name]
	c.Stop()
	ahead := int64(1) // of where it goes on, seen from where it was
	if w.home[t.Name] == "prod" {
		ahead = -1
	}
	for p := range at {
		if at[p] += ahead * t.Ahead[p]; t.Replicator != "" || w.died { // where it has written to last is of no use
			at[p] = w.gw.Topic(virtualCluster, t.Name).Partition(p).Current().PhysicalStart
		}
	}
	return w.copy(ctx, t, w.home[t.Name], at)
}

// start starts the clients.
func (w *world) start(cctx, pctx context.Context, producers *sync.WaitGroup) {
	consumers := &w.consumers
	run := func(wg *sync.WaitGroup, name string, r *clients.Recorder, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				r.Error(name, "%v", err)
			}
		})
	}
	first := w.of[w.plan.Topics[0].Name]
	w.consuming = cctx
	for i := range w.plan.Readers {
		run(consumers, reader(i), first, func() error { return w.spread(w.plan.Topics...).Consume(cctx, reader(i), "", 0) })
	}
	run(consumers, "seeker", first, func() error { return w.spread(w.plan.Topics...).Seek(cctx, "seeker") })
	for g, x := range w.plan.Groups {
		for i := range x.Members {
			w.join(g, i)
		}
	}
	for _, p := range w.plan.Producers {
		s := w.spread(w.some(p.Topics)...)
		if p.Slow {
			s.Rate *= 20
		}
		run(producers, p.Name, first, func() error { return s.Produce(pctx, p.Kind, p.Name) })
	}
	n := 0
	target := func() (clients.Target, *clients.Recorder) {
		t := w.plan.Topics[n%len(w.plan.Topics)].Name
		n++
		return clients.Target{Bootstrap: w.gw.Bootstrap, Topic: t, Rate: w.opts.Every}, w.of[t]
	}
	for name, c := range w.opts.Producers {
		t, r := target()
		run(producers, name, r, func() error { return c(pctx, t, name, r) })
	}
	for name, c := range w.opts.Consumers {
		t, r := target()
		run(consumers, name, r, func() error { return c(cctx, t, name, r) })
	}
}

// until waits for a condition.
func (w *world) until(ctx context.Context, what string, cond func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(w.opts.Patience)
	for !cond() {
		for name, c := range w.copiers {
			if err := c.Err(); err != nil {
				return fmt.Errorf("waited for %s: the replicator of %s has ended: %w", what, name, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		case <-end:
			state := ""
			for _, m := range w.gw.Moves() {
				if m.Phase != failover.Done {
					state += fmt.Sprintf("; %s to %s: %s, attempt %d, %s", m.Topic, m.To, m.Phase, m.Attempts, m.Error)
				}
			}
			for name, c := range w.copiers {
				state += fmt.Sprintf("; the replicator of %s is at %v", name, c.Position()[name])
			}
			return errors.New("waited in vain for " + what + state)
		}
	}
	return nil
}

func (w *world) acked() (n int) {
	for _, r := range w.of {
		n += r.AckedCount()
	}
	return n
}

// step does one step and waits until its topics have moved, and the replicators are turned.
func (w *world) step(ctx context.Context, s Step) error {
	want := w.acked() + s.Wait
	if err := w.until(ctx, fmt.Sprintf("%d acknowledgements", want), func() bool { return w.acked() >= want }); err != nil {
		return err
	}
	topics := w.some(s.Topics)
	switch s.Kind {
	case Dies:
		return w.die(ctx, s, topics[0])
	case Takeover:
		return w.takeover(ctx, s)
	case Refused:
		return w.refused(ctx, s, topics[0])
	case Groups:
		return w.moveGroups(ctx, s)
	case Members:
		return w.change(ctx, s)
	}
	return w.moveTopics(ctx, s, topics)
}

// moveTopics moves topics to the other cluster, and turns their replicators.
func (w *world) moveTopics(ctx context.Context, s Step, topics []Topic) error {
	if err := w.act(ctx, s.Kind, topics); err != nil {
		return err
	}
	if err := w.kill(ctx, s); err != nil {
		return err
	}
	for _, t := range topics {
		to := other(w.home[t.Name])
		if err := w.until(ctx, t.Name+" on "+to, func() bool { return w.at(t.Name, to) }); err != nil {
			return err
		}
		w.home[t.Name] = to
		w.moves++
		if err := w.turn(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// kill kills the gateway, if the step says so, and starts it again.
func (w *world) kill(ctx context.Context, s Step) error {
	if s.Kill == 0 {
		return nil
	}
	select {
	case <-time.After(s.Kill):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.gw.Kill()
	return w.gw.Run(ctx)
}

// at reports that a topic lives on a cluster and its move is done.
func (w *world) at(topic, cluster string) bool {
	if t := w.gw.Topic(virtualCluster, topic); t == nil || t.Home != cluster || t.Before != nil {
		return false
	}
	return !slices.ContainsFunc(w.gw.Moves(), func(m failover.Report) bool {
		return m.Topic == topic && m.Phase != failover.Done && m.Phase != failover.Dropped
	})
}

// act says that topics are to move to the other cluster.
func (w *world) act(ctx context.Context, kind string, topics []Topic) error {
	line := func(t Topic, cluster string) string { return t.Name + ": {cluster: " + cluster + "}" }
	edit := func(back bool) error {
		for _, t := range topics {
			from, to := w.home[t.Name], other(w.home[t.Name])
			if back {
				from, to = to, from
			}
			if err := w.gw.Edit(line(t, from), line(t, to)); err != nil {
				return err
			}
		}
		return nil
	}
	switch kind {
	case "edit":
		return edit(false)
	case "regret":
		return errors.Join(edit(false), edit(true), edit(false))
	case "at once":
		var changes []string
		for _, t := range topics {
			changes = append(changes, line(t, w.home[t.Name]), line(t, other(w.home[t.Name])))
		}
		return w.gw.EditAll(strings.NewReplacer(changes...).Replace)
	case "atomic":
		byHome := map[string][]string{}
		for _, t := range topics {
			byHome[w.home[t.Name]] = append(byHome[w.home[t.Name]], fmt.Sprintf("%q", t.Name))
		}
		for from, names := range byHome {
			body := fmt.Sprintf(`{"topics": [%s], "to": %q, "atomic": true}`, strings.Join(names, ", "), other(from))
			if err := w.call(ctx, "POST", "/failover/run", body, 202); err != nil {
				return err
			}
		}
		return nil
	case "call":
		for _, t := range topics {
			body := fmt.Sprintf(`{"clusterId": %q, "topicName": %q}`, other(w.home[t.Name]), t.Name)
			if err := w.call(ctx, "PUT", "/topicMappings/passThroughTenant/"+t.Name, body, 200, 202); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no step %q", kind)
}

func (w *world) call(ctx context.Context, method, path, body string, want ...int) error {
	req, err := http.NewRequestWithContext(ctx, method, w.gw.Admin+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("none", "none")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if !slices.Contains(want, resp.StatusCode) {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil
}
