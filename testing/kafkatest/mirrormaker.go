package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// MirrorMaker is MirrorMaker 2 in dedicated mode with IdentityReplicationPolicy, from one cluster
// to another.
type MirrorMaker struct {
	cmd *exec.Cmd
	log string
}

// ExactlyOnce are the properties of a MirrorMaker that writes transactions to a cluster, with how
// far it is in them.
func ExactlyOnce(to Cluster) []string {
	return []string{to.Name() + ".exactly.once.source.support=enabled", "dedicated.mode.enable.internal.rest=true", "listeners=http://127.0.0.1:0"}
}

// StartMirrorMaker starts it, with further properties.
func StartMirrorMaker(ctx context.Context, version, dir string, from, to Cluster, properties ...string) (*MirrorMaker, error) {
	a, b := from.Name(), to.Name()
	var p strings.Builder
	fmt.Fprintf(&p, "clusters=%s,%s\n%s.bootstrap.servers=%s\n%s.bootstrap.servers=%s\n", a, b, a, strings.Join(from.Bootstrap(), ","), b, strings.Join(to.Bootstrap(), ","))
	fmt.Fprintf(&p, "%s->%s.enabled=true\n%s->%s.enabled=false\n%s->%s.topics=.*\n", a, b, b, a, a, b)
	p.WriteString(`replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy
tasks.max=1
refresh.topics.interval.seconds=2
sync.topic.acls.enabled=false
emit.heartbeats.enabled=false
emit.checkpoints.enabled=false
offset-syncs.topic.location=target
offset.flush.interval.ms=2000
replication.factor=1
offset-syncs.topic.replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
`)
	for _, line := range properties {
		p.WriteString(line + "\n")
	}
	file := filepath.Join(dir, "mm2.properties")
	if err := os.WriteFile(file, []byte(p.String()), 0o600); err != nil {
		return nil, err
	}
	m := &MirrorMaker{log: filepath.Join(dir, "mm2.log")}
	out, err := os.Create(m.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	if m.cmd, err = JVM(context.WithoutCancel(ctx), version, "384m", nil, "org.apache.kafka.connect.mirror.MirrorMaker", file); err != nil {
		return nil, err
	}
	m.cmd.Stdout, m.cmd.Stderr = out, out
	m.cmd.SysProcAttr = EndsWithParent()
	return m, m.cmd.Start()
}

// Log is the end of what it has printed.
func (m *MirrorMaker) Log() string {
	b, _ := os.ReadFile(m.log)
	return string(b[max(0, len(b)-4000):])
}

// Stop ends it.
func (m *MirrorMaker) Stop() {
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = m.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = m.cmd.Process.Kill()
		<-done
	}
}
