package e2e

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestMirrorMakerIsTheReplicator, from a cluster of 3.9 to one of 4.3: a planned move under load
// over what people really run. Versions and features are the intersection of both.
func TestMirrorMakerIsTheReplicator(t *testing.T) {
	mirrored(t, newClusters(t, kafkatest.Kafka3, kafkatest.Kafka4), "")
}

// TestMirrorMakerWithTransactions: the copy has their markers between the records, and no client
// sees them. Where records are, MirrorMaker's offset syncs say, of which each is true.
func TestMirrorMakerWithTransactions(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	mirrored(t, p, ", copy: mm2", kafkatest.ExactlyOnce(p.dr)...)
	topic := p.gw.Topic("passThroughTenant", p.topic)
	if n := topic.Partition(0).Distance.Len(); n < 3 {
		t.Errorf("its copy has %d runs: nothing is between the records", n)
	}
	said := 0
	for _, s := range p.syncs() {
		part := topic.Partition(s.partition)
		if s.home >= part.Current().Start { // of what came from behind the move, which nobody reads
			continue
		}
		said++
		if at := part.Distance.ToPhysical(s.home); at != s.copied {
			t.Errorf("partition %d: the record at %d is at %d, but MirrorMaker says at %d", s.partition, s.home, at, s.copied)
		}
	}
	if said < 3 {
		t.Errorf("%d offset syncs: %+v", said, p.syncs())
	}
}

// offsetSync is where MirrorMaker says that it has written a record.
type offsetSync struct {
	partition    int32
	home, copied int64
}

// syncs are those of the topic, as they stand on dr: a length of two bytes, the topic and the
// partition are the key, both offsets the value.
func (p *pair) syncs() (out []offsetSync) {
	p.t.Helper()
	const from = "mm2-offset-syncs.prod.internal"
	ends, err := kafkatest.Ends(p.ctx, p.dr.Bootstrap(), from)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(p.dr.Bootstrap()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{from: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	for at := int64(0); at < ends[from][0]; {
		f := c.PollFetches(p.ctx)
		if err := f.Err0(); err != nil {
			p.t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if n := 2 + len(p.topic); len(r.Key) == n+4 && string(r.Key[2:n]) == p.topic && len(r.Value) == 16 {
				out = append(out, offsetSync{int32(binary.BigEndian.Uint32(r.Key[n:])), int64(binary.BigEndian.Uint64(r.Value)), int64(binary.BigEndian.Uint64(r.Value[8:]))})
			}
		})
	}
	return out
}

// mirrored moves a topic under load to the copy that a MirrorMaker makes, by a rule that says more.
func mirrored(t *testing.T, p *pair, more string, properties ...string) {
	t.Helper()
	const v = kafkatest.Kafka4
	neighbours := beside()
	l := p.load(map[string]clients.Client{"spread": spread("batching", neighbours), "java": clients.JavaProducer(v), "librdkafka": rdkafka.Producer(true), "franz": clients.FranzProducer},
		map[string]clients.Client{"java_c": clients.JavaConsumer(v, "classic"), "librdkafka_c": rdkafka.Consumer})
	l.more(200)
	m, err := kafkatest.StartMirrorMaker(p.ctx, kafkatest.Kafka4, t.TempDir(), p.prod, p.dr, properties...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	p.wait("MirrorMaker", func() bool {
		ends, err := kafkatest.Ends(p.ctx, p.dr.Bootstrap(), p.topic)
		return err == nil && ends[p.topic][0] > 0
	}, m.Log)
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr"+more+"}"); err != nil {
		t.Fatal(err)
	}
	report := p.moved(1)
	l.more(300)
	r := l.finish()
	p.show(r, l)
	t.Logf("held for %d ms, %d attempts", report.PauseMS, report.Attempts)
	if !r.Clean() || !report.Planned || r.Acked < 500 {
		t.Errorf("a client noticed: %+v", r)
	}
	p.checkBeside(neighbours)
}

// called is a cluster by another name.
type called struct {
	kafkatest.Cluster
	name string
}

func (c called) Name() string { return c.name }

// TestMirrorMakerWithItsOwnNames: by its default policy it puts the name of the cluster in front of
// topics that it copies. It copies none back to a cluster by whose name it begins, so that on the
// way back that cluster has to have another one.
func TestMirrorMakerWithItsOwnNames(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	const v, policy = kafkatest.Kafka4, "replication.policy.class=org.apache.kafka.connect.mirror.DefaultReplicationPolicy"
	there, back := "prod."+p.topic, "dr.prod."+p.topic
	rule := func(cluster, names string) string { return p.topic + ": {cluster: " + cluster + names + "}" }
	edit := func(from, to string) {
		t.Helper()
		if err := p.gw.Edit(from, to); err != nil {
			t.Fatal(err)
		}
	}
	one, both := ", names: {dr: "+there+"}", ", names: {dr: "+there+", prod: "+back+"}"
	mirror := func(from, to kafkatest.Cluster, topic, made string) *kafkatest.MirrorMaker {
		t.Helper()
		m, err := kafkatest.StartMirrorMaker(p.ctx, v, t.TempDir(), from, to, policy, from.Name()+"->"+to.Name()+".topics="+topic)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Stop)
		p.wait(made, func() bool {
			ends, err := kafkatest.Ends(p.ctx, to.Bootstrap(), made)
			return err == nil && ends[made][0] > 0
		}, m.Log)
		return m
	}
	edit(rule("prod", ""), rule("prod", one))
	l := p.load(map[string]clients.Client{"java": clients.JavaProducer(v), "librdkafka": rdkafka.Producer(true), "franz": clients.FranzProducer},
		map[string]clients.Client{"java_c": clients.JavaConsumer(v, "classic"), "librdkafka_c": rdkafka.Consumer})
	l.more(200)
	m := mirror(p.prod, p.dr, p.topic, there)
	edit(rule("prod", one), rule("dr", one))
	out := p.moved(1)
	m.Stop()
	l.more(200)
	edit(rule("dr", one), rule("dr", both))
	mirror(p.dr, called{p.prod, "primary"}, there, back)
	edit(rule("dr", both), rule("prod", both))
	home := p.moved(2)
	l.more(200)
	r := l.finish()
	p.show(r, l)
	t.Logf("held for %d and %d ms", out.PauseMS, home.PauseMS)
	if got := p.gw.Topic("passThroughTenant", p.topic).Physical("prod"); got != back {
		t.Errorf("on prod it is %q, want %q", got, back)
	}
	if !r.Clean() || r.Acked < 600 {
		t.Errorf("a client noticed: %+v", r)
	}
	if !out.Planned || !home.Planned {
		t.Error("a move was not a planned one")
	}
}
