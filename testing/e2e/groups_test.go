package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/clients/sarama"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// families are the consumers of the table, each in a group of its own.
var families = map[string]struct {
	says   string
	client clients.Client
}{
	"java_classic": {"Java consumer, classic", clients.JavaConsumer(kafkatest.Kafka4, "classic")},
	"java_848":     {"Java consumer, KIP-848", clients.JavaConsumer(kafkatest.Kafka4, "consumer")},
	"console_c":    {"kafka-console-consumer", clients.ConsoleConsumer(tool(kafkatest.Kafka4, "kafka-console-consumer"))},
	"librdkafka_c": {"librdkafka", rdkafka.Consumer},
	"franz_c":      {"franz-go", clients.FranzConsumer},
	"sarama_c":     {"sarama", sarama.Consumer},
	"python_c":     {"kafka-python", clients.PythonConsumer},
}

// standing are groups of every family that stay while their home changes, beside producers that
// never stop. Everything lives where the default of the rules says.
type standing struct {
	*pair
	*load
	restart chan struct{} // of franz-go's group
	moves   int           // of the topic, and of each group
}

// newStanding returns when all of them consume.
func newStanding(t *testing.T) *standing {
	t.Helper()
	s := &standing{pair: newPair(t, kafkatest.Kafka4), restart: make(chan struct{})}
	if err := s.gw.Edit("\n            "+s.topic+": {cluster: prod}", ""); err != nil {
		t.Fatal(err)
	}
	consumers := map[string]clients.Client{}
	for name, f := range families {
		if consumers[name] = f.client; !strings.HasPrefix(f.says, "Java") && !strings.HasPrefix(f.says, "kafka-console") {
			consumers[name] = twice(f.client)
		}
	}
	consumers["franz_c"] = again(consumers["franz_c"], s.restart)
	consumers["reader"] = clients.FranzReader // without a group
	s.load = s.pair.load(map[string]clients.Client{"java": clients.JavaProducer(kafkatest.Kafka4), "franz": clients.FranzProducer, "librdkafka": rdkafka.Producer(true)}, consumers)
	s.more(500)
	_ = s.settled()
	return s
}

// again is a consumer that ends and begins anew when it is told to.
func again(c clients.Client, restart <-chan struct{}) clients.Client {
	return func(ctx context.Context, to clients.Target, name string, r *clients.Recorder) error {
		for {
			run, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- c(run, to, name, r) }()
			select {
			case err := <-ended:
				stop()
				return err
			case <-restart:
			}
			stop()
			if err := <-ended; err != nil {
				return err
			}
		}
	}
}

// settled waits until everybody has got more, and returns the longest pause of each client since it
// was called last.
func (s *standing) settled() map[string]time.Duration {
	s.t.Helper()
	s.more(300)
	s.wait("everybody", s.rec.CaughtUp, func() string { return fmt.Sprint(s.rec.Pauses(), s.gw.Moves()) })
	return s.rec.Longest()
}

// goes edits the default, and waits until the topic and all groups live there.
func (s *standing) goes(from, to string) failover.Report {
	s.t.Helper()
	s.edit(from, to)
	return s.gone(to)
}

func (s *standing) edit(from, to string) {
	s.t.Helper()
	if err := s.gw.Edit("default: "+from, "default: "+to); err != nil {
		s.t.Fatal(err)
	}
}

// gone waits until the topic and all groups live on a cluster.
func (s *standing) gone(to string) failover.Report {
	s.t.Helper()
	s.moves++
	move := s.moved(s.moves)
	var away []string
	s.wait("groups on "+to, func() bool {
		away = nil
		for name := range families {
			if g := s.gw.Group("passThroughTenant", name); g == nil || g.Home != to || g.Generation != int32(s.moves) {
				away = append(away, fmt.Sprintf("%s: %+v", name, g))
			}
		}
		return len(away) == 0
	}, func() string { return fmt.Sprint(away, s.gw.Moves()) })
	return move
}

// follow lets the replicator bring what comes to the topic's home now to another cluster.
func (s *standing) follow(home, to kafkatest.Cluster) {
	s.copier.Stop()
	s.copy(home, to, map[string]map[int32]int64{s.topic: s.cut(0)})
}

// unnoticed fails the test if somebody has noticed something.
func (s *standing) unnoticed(what string) {
	s.t.Helper()
	if r := s.rec.Report(); r.Duplicated+r.Reordered+r.ClientErrors > 0 {
		s.show(r, s.load)
		s.t.Errorf("somebody has noticed %s", what)
	}
}

// positions are those that a cluster, or the gateway, has of all groups; of one that can't be asked
// it has none.
func (s *standing) positions(bootstrap ...string) kadm.FetchOffsetsResponses {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	return kadm.NewClient(cl).FetchManyOffsets(s.ctx, slices.Collect(maps.Keys(families))...)
}

// behind are the positions that are lower than others, and than what was lost.
func (s *standing) behind(is, than kadm.FetchOffsetsResponses, lost []failover.Range) (out []string) {
	s.t.Helper()
	for name, all := range than {
		if all.Err != nil || len(all.Fetched) == 0 {
			s.t.Fatalf("%s has no positions: %v", name, all.Err)
		}
		all.Fetched.Each(func(want kadm.OffsetResponse) {
			least := want.At
			for _, l := range lost {
				if l.Partition == want.Partition {
					least = min(least, l.From)
				}
			}
			if got, ok := is[name].Fetched.Lookup(want.Topic, want.Partition); !ok || got.At < least {
				out = append(out, fmt.Sprintf("%s/%d of %s: %d, was %d", want.Topic, want.Partition, name, got.At, want.At))
			}
		})
	}
	return out
}

// consumesWithin is how long after an edit that gives up a dead home every group consumes again.
const consumesWithin = 20 * time.Second

// dies kills all brokers of prod and gives it up; one group is restarted meanwhile. It returns the
// longest pause of each client.
func (s *standing) dies() map[string]time.Duration {
	t := s.t
	t.Helper()
	s.known()
	s.more(100)
	had := s.positions(s.gw.Bootstrap)
	if err := kafkatest.KillAll(s.prod); err != nil {
		t.Fatal(err)
	}
	_ = s.rec.Longest()
	s.edit("prod", "dr")
	edited := time.Now()
	s.restart <- struct{}{}
	move := s.gone("dr")
	if move.Planned {
		t.Errorf("the move was a planned one: %+v", move)
	}
	for _, x := range move.PossibleLoss { // a record that its producer had no answer for may have been delivered, and is written again
		s.rec.Lose(x.Partition, x.From, x.To)
	}
	if late := s.behind(s.positions(s.gw.Bootstrap), had, move.PossibleLoss); len(late) > 0 {
		t.Errorf("positions went back: %s", late)
	}
	s.more(300)
	s.wait("everybody", s.rec.CaughtUp, func() string { return fmt.Sprint(s.rec.Pauses(), s.gw.Moves()) })
	for who, at := range s.rec.Resumed() {
		if after := at.Sub(edited); strings.HasPrefix(who, "c:") && after > consumesWithin {
			t.Errorf("%s consumes again %s after the edit", who, after)
		}
	}
	t.Logf("%d records may be lost", move.Lost())
	return s.rec.Longest()
}

// returns starts prod again, and goes back there as soon as it has what came since.
func (s *standing) returns() map[string]time.Duration {
	t := s.t
	t.Helper()
	s.copier.Stop() // before it brings what nobody has got
	had := s.positions(s.gw.Bootstrap)
	s.back()
	s.copy(s.dr, s.prod, map[string]map[int32]int64{s.topic: s.cut(0)})
	var late []string
	s.wait("newer positions on prod", func() bool {
		late = s.behind(s.positions(s.prod.Bootstrap()...), had, nil)
		return len(late) == 0
	}, func() string { return fmt.Sprint(late) })
	_ = s.settled()
	if move := s.goes("dr", "prod"); !move.Planned {
		t.Errorf("the way back was not planned: %+v", move)
	}
	pauses := s.settled()
	s.follow(s.prod, s.dr)
	s.unnoticed("the death of prod, or its return")
	return pauses
}

// TestGroupsOutliveTheirHome: groups of every client go with their topic to dr and back. Then all
// brokers of prod are killed, and they go again, as soon as the default is edited; so does a
// consumer that was restarted meanwhile. Then prod is back, and so are they. Nothing is delivered
// twice, skipped, or shown as an error, but for what the copy had not got.
func TestGroupsOutliveTheirHome(t *testing.T) {
	kafkatest.Require(t, "python3")
	s := newStanding(t)
	planned, killed, back := pauses{}, pauses{}, pauses{}
	for range rounds(t, "SLUICE_ROUNDS") {
		s.goes("prod", "dr")
		planned.add(s.settled())
		s.follow(s.dr, s.prod)
		s.goes("dr", "prod")
		planned.add(s.settled())
		s.follow(s.prod, s.dr)
		s.unnoticed("the planned moves")
	}
	t.Logf("planned:\n%s", planned)
	for range rounds(t, "SLUICE_DEATHS") {
		killed.add(s.dies())
		back.add(s.returns())
	}
	t.Logf("killed:\n%s\nback:\n%s", killed, back)
	r := s.finish()
	s.show(r, s.load)
	for _, m := range s.gw.Moves() {
		t.Logf("%s %s > %s: planned %t, held for %d ms, %d positions, %d ms behind, %v", m.What(), m.From, m.To, m.Planned, m.PauseMS, m.Positions, m.Behind, phases(m))
		if m.Kind == failover.Group && m.Positions == 0 {
			t.Errorf("%s has taken no position along", m.What())
		}
	}
	if !r.Clean() {
		t.Errorf("somebody has noticed more than what the copy had not got: %+v", r)
	}
	if !t.Failed() {
		table(t, planned, killed)
	}
}

// twice are two members of one group, which have nothing to be told apart by: not their client ids
// either.
func twice(c clients.Client) clients.Client { return together(c, c) }

// together are members of one group.
func together(all ...clients.Client) clients.Client {
	return func(ctx context.Context, to clients.Target, name string, r *clients.Recorder) error {
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() { errs[i] = c(ctx, to, name, r) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}
