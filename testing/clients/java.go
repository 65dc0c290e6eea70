package clients

import (
	"context"
	_ "embed" // the Java program
	"fmt"
	"os/exec"
	"strings"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

//go:embed java/SluiceClient.java
var javaSource []byte

// java is the command of the program with a version's jars.
func java(ctx context.Context, version string, args ...string) (*exec.Cmd, error) {
	dir, err := kafkatest.Classes(ctx, version, "SluiceClient", javaSource)
	if err != nil {
		return nil, err
	}
	return kafkatest.JVM(ctx, version, "128m", []string{dir}, "SluiceClient", args...)
}

// JavaProducer is the Java producer with default settings: idempotent, acks=all.
func JavaProducer(version string) Client {
	return func(ctx context.Context, t Target, name string, r *Recorder) error {
		cmd, err := java(context.WithoutCancel(ctx), version, "producer", t.Bootstrap, t.Topic, name, fmt.Sprint(t.Rate.Milliseconds()))
		if err != nil {
			return err
		}
		return run(ctx, cmd, name, r)
	}
}

// JavaConsumer is the Java consumer in a group of its own; protocol is classic or consumer
// (KIP-848).
func JavaConsumer(version, protocol string) Client {
	return func(ctx context.Context, t Target, name string, r *Recorder) error {
		cmd, err := java(context.WithoutCancel(ctx), version, "consumers", t.Bootstrap)
		if err != nil {
			return err
		}
		return run(ctx, cmd, name, r, joins(name, name, []string{t.Topic}, "client.id="+name, "group.protocol="+protocol))
	}
}

// JavaConsumers are Java consumers in one process that come and go.
type JavaConsumers struct{ program *program }

// StartJavaConsumers starts a process without consumers; of tells who records what they see of a
// topic, by the names of their groups, and for "" what they see else.
func StartJavaConsumers(ctx context.Context, version, bootstrap string, of func(topic string) *Recorder) (*JavaConsumers, error) {
	cmd, err := java(ctx, version, "consumers", bootstrap)
	if err != nil {
		return nil, err
	}
	p, err := start(cmd, "java", of)
	return &JavaConsumers{p}, err
}

// Join lets a consumer join a group; settings are like "group.protocol=consumer". With "simple=yes"
// it is no member: it is assigned all partitions, commits what it gets, and compares that with what
// is committed.
func (j *JavaConsumers) Join(name, group string, topics []string, settings ...string) error {
	_, err := fmt.Fprintln(j.program.in, joins(name, group, topics, settings...))
	return err
}

func joins(name, group string, topics []string, settings ...string) string {
	return strings.Join(append([]string{"join", name, strings.Join(topics, ","), "group.id=" + group}, settings...), "\t")
}

// Leave lets a consumer go: it commits, and leaves its group, unless it is a static member.
func (j *JavaConsumers) Leave(name string) error {
	_, err := fmt.Fprintf(j.program.in, "leave\t%s\n", name)
	return err
}

// Close lets all go.
func (j *JavaConsumers) Close() { j.program.close() }
