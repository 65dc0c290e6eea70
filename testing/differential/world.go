package differential

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// hide is what chains hide: what other lanes have on the same clusters.
const hide = `hide: [secret, "v.*", "__*"]`

// chains are those that stand between; prod is what direct clients ask.
var chains = []struct{ name, clusters, prefix, chain string }{
	{"empty", "prod", "", "[]"},
	{"full", "dr", "", "[routing: {default: dr}, topics: {" + hide + "}, offsets: {}, traces: {inject: missing}]"},
	{"prefixed", "dr", sharedPrefix, "[routing: {default: dr}, topics: {prefix: v., hide: [secret]}, offsets: {}]"},
	{"two clusters", "dr prod", "", "[routing: {default: dr, topics: {beta: {cluster: prod}, moved: {cluster: prod}, \"*-b\": {cluster: prod}}}, topics: {" + hide + "}, offsets: {}]"},
}

// build starts two clusters with equal topics and a gateway for each chain. The first lane is
// direct.
func build(t *testing.T) []*lane {
	t.Helper()
	kafkatest.Require(t, "java", "mvn")
	ctx := eventually.Context(t)
	dir := t.TempDir()
	names := []string{"prod", "dr"}
	clusters := map[string]kafkatest.Cluster{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, name := range names {
		wg.Go(func() {
			c, err := kafkatest.Real(ctx, name, kafkatest.Kafka4, dir, 1, "transaction.max.timeout.ms=3600000",
				"log.initial.task.delay.ms=3600000") // records are of 1970: retention would delete them, half a minute after the start
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			clusters[name] = c
			t.Cleanup(func() { _ = c.Close() })
		})
	}
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
	if err := write(ctx, clusters["prod"], ""); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", sharedPrefix} {
		if err := write(ctx, clusters["dr"], prefix); err != nil {
			t.Fatal(err)
		}
		if err := kafkatest.Create(ctx, clusters["dr"], prefix+hidden, 1); err != nil {
			t.Fatal(err)
		}
	}
	prod := clusters["prod"].Bootstrap()[0]
	lanes := []*lane{{name: "direct", addr: prod, node: 1, nodes: map[string]bool{prod: true}}}
	for _, c := range chains {
		l, err := open(ctx, t, c.clusters, c.chain, clusters)
		if err != nil {
			t.Fatal(err)
		}
		l.name, l.prefix = c.name, c.prefix
		lanes = append(lanes, l)
	}
	for i, l := range lanes {
		l.label, l.topics = labels[i], map[string][16]byte{}
		l.texts = strings.NewReplacer(l.prefix+l.label, "LANE", l.label, "LANE", l.prefix, "", dir+"/prod", "DIR", dir+"/dr", "DIR")
		if err := l.begin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return lanes
}

// open starts a gateway with a chain over clusters.
func open(ctx context.Context, t *testing.T, names, chain string, clusters map[string]kafkatest.Cluster) (*lane, error) {
	all := strings.Fields(names)
	port, err := kafkatest.FreePorts(1 + 10*len(all))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("state: {dir: ./state}\nclusters:\n")
	for _, name := range all {
		fmt.Fprintf(&b, "  %s: {bootstrap: [%s], nodes: 0-9}\n", name, clusters[name].Bootstrap()[0])
	}
	fmt.Fprintf(&b, "virtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}\n    chain: %s\n", port, port+1, port+10*len(all), chain)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	level := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("DEBUG") != "" {
		level = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	g, err := gatewaytest.Open(ctx, file, level)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = g.Stop() })
	if len(all) > 1 {
		if err := move(g); err != nil {
			return nil, err
		}
	}
	l := &lane{addr: fmt.Sprintf("127.0.0.1:%d", port), node: 1<<20 + 1, nodes: map[string]bool{}}
	for i := range 10 * len(all) {
		l.nodes[fmt.Sprintf("127.0.0.1:%d", port+1+i)] = true
	}
	return l, nil
}

// move moves a topic, whose copies are equal, to the other cluster.
func move(g *gatewaytest.Gateway) error {
	if err := g.Edit("moved: {cluster: prod}", "moved: {cluster: dr}"); err != nil {
		return err
	}
	if !eventually.True(func() bool {
		return slices.ContainsFunc(g.Moves(), func(m failover.Report) bool { return m.Topic == moved && m.Phase == failover.Done })
	}) {
		return fmt.Errorf("not moved: %+v", g.Moves())
	}
	return nil
}

// begin makes the topics of the lane, through it, and learns ids.
func (l *lane) begin(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopics(ctx, 2, 1, nil, l.mine("@-a"), l.mine("@-b")); err != nil {
		return err
	}
	m := kmsg.NewPtrMetadataRequest()
	resp, err := m.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	l.id = *resp.ClusterID
	l.learn(resp)
	return nil
}

// write makes the shared topics with what they hold, a group with positions, and transactions.
func write(ctx context.Context, c kafkatest.Cluster, prefix string) error {
	for name, n := range shared {
		if err := kafkatest.Create(ctx, c, prefix+name, n); err != nil {
			return err
		}
	}
	alpha, beta := prefix+"alpha", prefix+"beta"
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	at := int64(1000)
	records := func(topic string, partition int32, n int) (out []*kgo.Record) {
		for range n {
			at++
			out = append(out, &kgo.Record{Topic: topic, Partition: partition, Timestamp: time.UnixMilli(at), Value: fmt.Appendf(nil, "%d", at)})
		}
		return out
	}
	for _, r := range slices.Concat(records(alpha, 0, 5), records(alpha, 1, 5), records(beta, 0, 3), records(prefix+moved, 0, 4), records(prefix+moved, 1, 1)) {
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			return err
		}
	}
	adm := kadm.NewClient(cl)
	for i, id := range []string{"done", "open"} {
		tx, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.TransactionalID(prefix+id), kgo.TransactionTimeout(time.Hour))
		if err != nil {
			return err
		}
		for _, end := range [][]kgo.TransactionEndTry{{kgo.TryCommit, kgo.TryAbort}, nil}[i] {
			if err := tx.BeginTransaction(); err != nil {
				return err
			}
			if err := tx.ProduceSync(ctx, append(records(alpha, 0, 2), records(prefix+moved, 0, 2)...)...).FirstErr(); err != nil {
				return err
			}
			if err := tx.EndTransaction(ctx, end); err != nil {
				return err
			}
		}
		if i == 1 {
			if err := tx.BeginTransaction(); err != nil {
				return err
			}
			if err := tx.ProduceSync(ctx, append(records(alpha, 0, 2), records(beta, 1, 1)...)...).FirstErr(); err != nil {
				return err
			}
		}
		tx.Close()
	}
	if err := cl.ProduceSync(ctx, records(alpha, 0, 3)...).FirstErr(); err != nil {
		return err
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(alpha, 1, 2, -1)
	if _, err := adm.DeleteRecords(ctx, offsets); err != nil {
		return err
	}
	commits := kadm.Offsets{}
	commits.AddOffset(alpha, 0, 3, -1)
	commits.AddOffset(beta, 1, 1, 0)
	return adm.CommitAllOffsets(ctx, prefix+"group", commits)
}
