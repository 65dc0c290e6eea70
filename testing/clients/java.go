package clients

import (
	"context"
	_ "embed" // the Java program
	"fmt"
	"os/exec"

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
