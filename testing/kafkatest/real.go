package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// RealCluster is Apache Kafka: a controller and brokers as JVM processes on loopback. Brokers have
// the node ids 1, 2, ... in every cluster.
type RealCluster struct {
	name    string
	version string
	dir     string
	id      string
	base    int
	brokers int
	guarded string // protocol of a second listener of each broker, "" is none
	more    string // properties besides

	mu    sync.Mutex
	procs map[int32]*exec.Cmd
	ended map[int32]chan struct{}
}

const controller = 100

// Real starts a cluster of Apache Kafka and waits until every broker is known. more are lines for
// the properties of all nodes.
func Real(ctx context.Context, name, version, dir string, brokers int, more ...string) (*RealCluster, error) {
	return start(ctx, name, version, dir, brokers, "", more)
}

// Guarded is Real with a second listener, GUARDED, of each broker, by a security.protocol: more are
// its keys and users.
func Guarded(ctx context.Context, name, version, dir string, brokers int, protocol string, more ...string) (*RealCluster, error) {
	return start(ctx, name, version, dir, brokers, protocol, more)
}

func start(ctx context.Context, name, version, dir string, brokers int, guarded string, more []string) (*RealCluster, error) {
	c, ids, err := planned(name, version, dir, brokers, guarded, more)
	if err != nil {
		return nil, err
	}
	if err := c.format(ctx, ids); err != nil {
		return nil, err
	}
	for _, n := range ids {
		if err := c.launch(n); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.Ready(ctx, brokers); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Plan chooses ports and an id, and writes the properties of the nodes, which whoever calls it
// starts.
func Plan(name, version, dir string, brokers int, more ...string) (*RealCluster, []int32, error) {
	return planned(name, version, dir, brokers, "", more)
}

func planned(name, version, dir string, brokers int, guarded string, more []string) (*RealCluster, []int32, error) {
	base, err := FreePorts(2*brokers + 1)
	if err != nil {
		return nil, nil, err
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	raw[0] |= 0x40 // an id must not begin with a dash
	c := &RealCluster{
		name: name, version: version, dir: filepath.Join(dir, name), base: base, brokers: brokers, guarded: guarded,
		id:    strings.NewReplacer("-", "A", "_", "B").Replace(base64.RawURLEncoding.EncodeToString(raw[:])),
		procs: map[int32]*exec.Cmd{}, ended: map[int32]chan struct{}{}, more: strings.Join(more, "\n") + "\n",
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, nil, err
	}
	ids := append([]int32{controller}, c.Nodes()...)
	for _, n := range ids {
		if err := os.WriteFile(c.Props(n), []byte(c.properties(n)), 0o644); err != nil {
			return nil, nil, err
		}
	}
	return c, ids, nil
}

// Props is the file of a node's properties.
func (c *RealCluster) Props(n int32) string {
	return filepath.Join(c.dir, fmt.Sprintf("node-%d.properties", n))
}
func (c *RealCluster) data(n int32) string { return filepath.Join(c.dir, fmt.Sprintf("data-%d", n)) }

func (c *RealCluster) port(n int32) int {
	if n == controller {
		return c.base + c.brokers
	}
	return c.base + int(n) - 1
}

func (c *RealCluster) guardedPort(n int32) int { return c.base + c.brokers + int(n) }

// GuardedBootstrap lists the addresses of the brokers' second listeners.
func (c *RealCluster) GuardedBootstrap() []string {
	var out []string
	for _, n := range c.Nodes() {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", c.guardedPort(n)))
	}
	return out
}

func (c *RealCluster) properties(n int32) string {
	var b strings.Builder
	role, listeners := "broker", fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d\nadvertised.listeners=PLAINTEXT://127.0.0.1:%d\ninter.broker.listener.name=PLAINTEXT", c.port(n), c.port(n))
	protocols := "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
	if c.guarded != "" {
		at := fmt.Sprintf("GUARDED://127.0.0.1:%d", c.guardedPort(n))
		listeners = fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%[1]d,%[2]s\nadvertised.listeners=PLAINTEXT://127.0.0.1:%[1]d,%[2]s\ninter.broker.listener.name=PLAINTEXT", c.port(n), at)
		protocols += ",GUARDED:" + c.guarded
	}
	if n == controller {
		role, listeners = "controller", fmt.Sprintf("listeners=CONTROLLER://127.0.0.1:%d", c.port(n))
	}
	r := min(c.brokers, 3)
	fmt.Fprintf(&b, "process.roles=%s\nnode.id=%d\ncontroller.quorum.voters=%d@127.0.0.1:%d\n%s\n", role, n, controller, c.port(controller), listeners)
	fmt.Fprintf(&b, "controller.listener.names=CONTROLLER\nlistener.security.protocol.map=%s\nlog.dirs=%s\n", protocols, c.data(n))
	fmt.Fprintf(&b, "num.network.threads=2\nnum.io.threads=4\nbackground.threads=4\ndefault.replication.factor=%d\nmin.insync.replicas=1\n", r)
	fmt.Fprintf(&b, "offsets.topic.replication.factor=%d\noffsets.topic.num.partitions=4\ntransaction.state.log.replication.factor=%d\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=4\n", r, r)
	b.WriteString("group.initial.rebalance.delay.ms=0\nlog.cleaner.dedupe.buffer.size=4194304\nbroker.heartbeat.interval.ms=500\nbroker.session.timeout.ms=3000\nauto.create.topics.enable=false\n")
	if !strings.HasPrefix(c.version, "3.") {
		fmt.Fprintf(&b, "share.coordinator.state.topic.replication.factor=%d\nshare.coordinator.state.topic.min.isr=1\nshare.coordinator.state.topic.num.partitions=4\n", r)
	}
	b.WriteString(c.more)
	return b.String()
}

// format formats one node's folder and derives the others from it: each format starts a JVM.
func (c *RealCluster) format(ctx context.Context, ids []int32) error {
	cmd, err := jvm(ctx, c.version, "128m", "kafka.tools.StorageTool", "format", "-t", c.id, "-c", c.Props(ids[0]))
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	for _, n := range ids[1:] {
		if err := os.CopyFS(c.data(n), os.DirFS(c.data(ids[0]))); err != nil {
			return err
		}
		meta := filepath.Join(c.data(n), "meta.properties")
		b, err := os.ReadFile(meta)
		if err != nil {
			return err
		}
		var raw [16]byte
		_, _ = rand.Read(raw[:])
		lines := strings.Split(string(b), "\n")
		for i, l := range lines {
			switch {
			case strings.HasPrefix(l, "node.id="):
				lines[i] = fmt.Sprintf("node.id=%d", n)
			case strings.HasPrefix(l, "directory.id="):
				lines[i] = "directory.id=" + strings.NewReplacer("-", "A", "_", "B").Replace(base64.RawURLEncoding.EncodeToString(raw[:]))
			}
		}
		if err := os.WriteFile(meta, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (c *RealCluster) launch(n int32) error {
	cmd, err := jvm(context.Background(), c.version, "384m", "kafka.Kafka", c.Props(n))
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("node-%d.log", n)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	c.mu.Lock()
	c.procs[n], c.ended[n] = cmd, ended
	c.mu.Unlock()
	return nil
}

// Ready waits until the metadata lists that many brokers.
func (c *RealCluster) Ready(ctx context.Context, brokers int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for {
		actx, cancel := context.WithTimeout(ctx, 10*time.Second)
		list, err := adm.ListBrokers(actx)
		cancel()
		if err == nil && len(list) >= brokers {
			return nil
		}
		c.mu.Lock()
		for n, e := range c.ended {
			select {
			case <-e:
				c.mu.Unlock()
				log, _ := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("node-%d.log", n)))
				return fmt.Errorf("node %d of %s ended:\n%s", n, c.name, log[max(0, len(log)-2000):])
			default:
			}
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s not ready: %w (%w)", c.name, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ID is the cluster's id.
func (c *RealCluster) ID() string { return c.id }

// Dir is the folder with the nodes' data.
func (c *RealCluster) Dir() string { return c.dir }

// Name is the cluster's name.
func (c *RealCluster) Name() string { return c.name }

// Bootstrap lists the brokers' addresses.
func (c *RealCluster) Bootstrap() []string {
	var out []string
	for _, n := range c.Nodes() {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", c.port(n)))
	}
	return out
}

// Nodes lists the brokers.
func (c *RealCluster) Nodes() []int32 {
	var out []int32
	for n := range c.brokers {
		out = append(out, int32(n+1))
	}
	return out
}

func (c *RealCluster) signal(n int32, s syscall.Signal) error {
	c.mu.Lock()
	p := c.procs[n]
	c.mu.Unlock()
	if p == nil {
		return fmt.Errorf("node %d does not run", n)
	}
	return p.Process.Signal(s)
}

// Kill ends a broker with SIGKILL.
func (c *RealCluster) Kill(n int32) error {
	if err := c.signal(n, syscall.SIGKILL); err != nil {
		return err
	}
	c.mu.Lock()
	ended := c.ended[n]
	delete(c.procs, n)
	delete(c.ended, n)
	c.mu.Unlock()
	<-ended
	return nil
}

// Restart starts a broker again on its data.
func (c *RealCluster) Restart(ctx context.Context, n int32) error {
	if err := c.launch(n); err != nil {
		return err
	}
	c.mu.Lock()
	up := len(c.procs) - 1
	c.mu.Unlock()
	return c.Ready(ctx, up)
}

// Close ends the cluster.
func (c *RealCluster) Close() error {
	c.mu.Lock()
	procs, ended := c.procs, c.ended
	c.procs, c.ended = map[int32]*exec.Cmd{}, map[int32]chan struct{}{}
	c.mu.Unlock()
	for _, p := range procs {
		_ = p.Process.Kill()
	}
	for _, e := range ended {
		<-e
	}
	return nil
}

// Create creates a topic.
func Create(ctx context.Context, c Cluster, topic string, partitions int32) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	r, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, nil, topic)
	return errors.Join(err, r.Err)
}
