package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// kind is a group of the Java client, of which all members have the same settings.
type kind struct {
	members  int
	static   bool // each has a group.instance.id
	settings []string
	two      bool // subscribes to a topic that stays on prod too
}

// assignor are the settings of a classic group.
func assignor(name string) []string {
	return []string{"group.protocol=classic", "partition.assignment.strategy=org.apache.kafka.clients.consumer." + name}
}

// kinds are the groups of the Java client, by their names.
var kinds = map[string]kind{
	"range":              {members: 3, settings: assignor("RangeAssignor")},
	"roundrobin":         {members: 2, settings: assignor("RoundRobinAssignor")},
	"sticky":             {members: 2, settings: assignor("StickyAssignor")},
	"cooperative":        {members: 3, settings: assignor("CooperativeStickyAssignor")},
	"static":             {members: 2, static: true, settings: []string{"group.protocol=classic"}},
	"static_cooperative": {members: 2, static: true, settings: assignor("CooperativeStickyAssignor")},
	"next_uniform":       {members: 3, settings: []string{"group.protocol=consumer", "group.remote.assignor=uniform"}},
	"next_range":         {members: 2, settings: []string{"group.protocol=consumer", "group.remote.assignor=range"}},
	"next_static":        {members: 2, static: true, settings: []string{"group.protocol=consumer"}},
	"changing":           {members: 2, settings: assignor("RangeAssignor")}, // one that cooperates may read twice what another gave up
	"next_changing":      {members: 2, settings: []string{"group.protocol=consumer"}},
	"two_topics":         {members: 2, settings: []string{"group.protocol=classic"}, two: true},
	"two_moving":         {members: 2, settings: []string{"group.protocol=classic"}, two: true},
	"next_two_moving":    {members: 2, settings: []string{"group.protocol=consumer"}, two: true},
	"simple":             {members: 1, settings: []string{"group.protocol=classic", "enable.auto.commit=false", "simple=yes"}},
}

// others are groups of other clients, and how many members they have.
var others = map[string]struct {
	members int
	client  clients.Client
}{
	"rdkafka_cooperative": {2, twice(rdkafka.ConsumerWith(map[string]string{"partition.assignment.strategy": "cooperative-sticky"}))},
	"rdkafka_static": {2, together(
		rdkafka.ConsumerWith(map[string]string{"group.instance.id": "one"}), rdkafka.ConsumerWith(map[string]string{"group.instance.id": "two"}))},
	"franz_cooperative": {2, twice(clients.FranzConsumer)},
}

// kindsWorld is a pair with a group of every kind.
type kindsWorld struct {
	*pair
	java *clients.JavaConsumers
	next int // number of the next Java consumer
}

// join lets one more member join a group, and returns its name.
func (w *kindsWorld) join(group string) string {
	w.t.Helper()
	k := kinds[group]
	w.next++
	name, topics, settings := fmt.Sprintf("%s-%d", group, w.next), []string{w.topic}, slices.Clone(k.settings)
	if k.two {
		topics = append(topics, "neighbour")
	}
	if k.static {
		settings = append(settings, "group.instance.id="+name)
	}
	if err := w.java.Join(name, group, topics, settings...); err != nil {
		w.t.Fatal(err)
	}
	return name
}

// leave lets a member leave.
func (w *kindsWorld) leave(name string) {
	w.t.Helper()
	if err := w.java.Leave(name); err != nil {
		w.t.Fatal(err)
	}
}

// at waits until groups live on a cluster and have moved so often.
func (w *kindsWorld) at(cluster string, generation int32, names []string) {
	w.t.Helper()
	var away []string
	w.wait("groups on "+cluster, func() bool {
		away = nil
		for _, name := range names {
			if g := w.gw.Group("passThroughTenant", name); g == nil || g.Home != cluster || g.Generation != generation {
				away = append(away, fmt.Sprintf("%s: %+v", name, g))
			}
		}
		return len(away) == 0
	}, func() string { return fmt.Sprint(away, w.gw.Moves()) })
}

// gathered waits until every group has all its members.
func (w *kindsWorld) gathered() {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.gw.Bootstrap))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	want := map[string]int{}
	var classic, next []string
	for name, k := range kinds {
		if want[name] = k.members; name == "simple" {
			want[name] = 0
		}
		if slices.Contains(k.settings, "group.protocol=consumer") {
			next = append(next, name)
		} else {
			classic = append(classic, name)
		}
	}
	for name, o := range others {
		want[name], classic = o.members, append(classic, name)
	}
	has := map[string]int{}
	w.wait("all members", func() bool {
		clear(has)
		all, err := adm.DescribeGroups(w.ctx, classic...)
		if err != nil {
			return false
		}
		for name, g := range all {
			if has[name] = len(g.Members); g.State != "Stable" && name != "simple" {
				has[name] = -has[name]
			}
		}
		newer, err := adm.DescribeConsumerGroups(w.ctx, next...)
		if err != nil {
			return false
		}
		for name, g := range newer {
			has[name] = len(g.Members)
		}
		return maps.Equal(has, want)
	}, func() string { return fmt.Sprintf("has %v, wants %v", has, want) })
}

// groupDone waits until a group has moved so often.
func (w *kindsWorld) groupDone(name string, n int) {
	w.t.Helper()
	w.wait(name, func() bool {
		done := 0
		for _, m := range w.gw.Moves() {
			if m.What() == (failover.Movable{Kind: failover.Group, Name: name}) && m.Phase == failover.Done {
				done++
			}
		}
		return done >= n
	}, func() string { return fmt.Sprintf("%+v", w.gw.Moves()) })
}

// someoneMissing is for how long members that come to a new home wait for one that does not come.
// One of KIP-848 may take two heartbeats of 5 s to get its partitions, as in any rebalance.
const someoneMissing = 12 * time.Second

// TestEveryKindOfMember: groups of all assignors, static members, KIP-848, of a topic that moves
// and one that stays, and consumers that only commit, go to dr and back, some while members join
// and leave. Nobody notices anything.
func TestEveryKindOfMember(t *testing.T) {
	w := &kindsWorld{pair: newPair(t, kafkatest.Kafka4)}
	if err := w.gw.Edit("default: prod", "default: prod\n          groups: {\"*two_moving\": prod}"); err != nil {
		t.Fatal(err)
	}
	neighbours := beside()
	consumers := map[string]clients.Client{}
	for name, o := range others {
		consumers[name] = o.client
	}
	l := w.unloaded()
	var err error
	if w.java, err = clients.StartJavaConsumers(w.ctx, kafkatest.Kafka4, w.gw.Bootstrap, func(topic string) *clients.Recorder {
		if r := neighbours[topic]; r != nil {
			return r
		}
		return l.rec
	}); err != nil {
		t.Fatal(err)
	}
	var follow, ruled, stay []string
	members := map[string][]string{}
	for name, k := range kinds {
		for range k.members {
			members[name] = append(members[name], w.join(name))
		}
		switch {
		case strings.HasSuffix(name, "two_moving"):
			ruled = append(ruled, name)
		case k.two:
			stay = append(stay, name)
		default:
			follow = append(follow, name)
		}
	}
	follow = append(follow, slices.Collect(maps.Keys(others))...)
	l.consume(consumers)
	w.gathered() // before there is anything to read, which members that come one by one could read twice
	l.produce(map[string]clients.Client{"spread": spread("batching", neighbours), "franz": clients.FranzProducer})
	l.n += len(kinds)
	l.work()
	l.more(200)
	_ = l.rec.Longest()
	for i, to := range []string{"dr", "prod"} {
		from := []string{"prod", "dr"}[i]
		change := func(leave bool) { // of the members of groups that move
			for _, name := range []string{"changing", "next_changing"} {
				if leave {
					w.leave(members[name][0])
					members[name] = members[name][1:]
				} else {
					members[name] = append(members[name], w.join(name))
				}
			}
		}
		change(to == "dr")
		if err := w.gw.EditAll(func(text string) string {
			return strings.NewReplacer(w.topic+": {cluster: "+from, w.topic+": {cluster: "+to, `"*two_moving": `+from, `"*two_moving": `+to).Replace(text)
		}); err != nil {
			t.Fatal(err)
		}
		w.groupDone("next_changing", i+1)
		change(to == "prod")
		w.moved(i + 1)
		w.at(to, int32(i+1), append(ruled, follow...))
		w.at("prod", 0, stay)
		w.gathered()
		l.more(200)
		w.wait("everybody", l.rec.CaughtUp, func() string { return fmt.Sprint(l.rec.Pauses(), l.rec.Report().Details, w.gw.Moves()) })
		pauses := l.rec.Longest()
		t.Logf("%s > %s: %v", from, to, pauses)
		for who, d := range pauses {
			if d > someoneMissing {
				t.Errorf("%s waited %s, as for a member that does not come", who, d)
			}
		}
		if to == "dr" {
			w.turn(w.dr, w.prod)
		}
	}
	l.stopP()
	l.producers.Wait()
	w.wait("what was written beside", func() bool { return neighbours["neighbour"].Complete() }, func() string { return fmt.Sprint(neighbours["neighbour"].Report().Details) })
	w.wait("all that was written", l.rec.Complete, func() string { return fmt.Sprint(l.rec.Report().Details) })
	w.java.Close()
	r := l.finish()
	w.show(r, l)
	if !r.Clean() {
		t.Errorf("a member noticed: %+v", r)
	}
	w.checkBeside(neighbours)
}
