package clients

import (
	"context"
	_ "embed" // the Java program
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

//go:embed java/SluiceClient.java
var javaSource []byte

// java compiles the program against a version's jars and returns its command.
func java(ctx context.Context, version string, args ...string) (*exec.Cmd, error) {
	cp, err := kafkatest.ClassPath(ctx, version)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-java-")
	if err != nil {
		return nil, err
	}
	src := filepath.Join(dir, "SluiceClient.java")
	if err := os.WriteFile(src, javaSource, 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", cp, "-d", dir, src).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javac: %w\n%s", err, out)
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

// JavaConsumer is the Java consumer; protocol is classic or consumer (KIP-848).
func JavaConsumer(version, protocol string) Client {
	return func(ctx context.Context, t Target, name string, r *Recorder) error {
		cmd, err := java(context.WithoutCancel(ctx), version, "consumer", t.Bootstrap, t.Topic, name, protocol)
		if err != nil {
			return err
		}
		return run(ctx, cmd, name, r)
	}
}
