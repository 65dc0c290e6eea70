package kafkatest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// archive makes the archive of a version's classes that a node has loaded, once per cache and
// installation of Java. A JVM that is given it starts in half of the time, whatever it runs.
func archive(ctx context.Context, version string) (string, error) {
	libs, err := ClassPath(ctx, version)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(libs, ":")
	installed, err := os.Stat(javaProgram())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(first)), fmt.Sprintf("archive-%d", installed.ModTime().Unix()))
	file := filepath.Join(dir, "classes.jsa")
	return file, once(dir, func() error {
		tmp, err := os.MkdirTemp("", "sluice-archive")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(tmp) }()
		return record(ctx, version, tmp, file)
	})
}

// record has a node, which is controller and broker, make a topic, and write its classes to a file
// when it ends.
func record(ctx context.Context, version, tmp, file string) error {
	c, _, err := Plan("archive", version, tmp, 1)
	if err != nil {
		return err
	}
	props := fmt.Sprintf("%sprocess.roles=broker,controller\ncontroller.quorum.voters=1@127.0.0.1:%d\nlisteners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d\n", c.properties(1), c.port(controller), c.port(1), c.port(controller))
	if err := os.WriteFile(c.Props(1), []byte(props), 0o644); err != nil {
		return err
	}
	format, err := java(ctx, version, "128m", "-Xshare:auto", nil, "kafka.tools.StorageTool", "format", "-t", c.id, "-c", c.Props(1))
	if err != nil {
		return err
	}
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	node, err := java(ctx, version, "384m", "-XX:ArchiveClassesAtExit="+file, nil, "kafka.Kafka", c.Props(1))
	if err != nil {
		return err
	}
	var said strings.Builder
	node.Stdout, node.Stderr = &said, &said
	if err := node.Start(); err != nil {
		return err
	}
	if err = c.Ready(ctx, 1); err == nil {
		err = Create(ctx, c, "topic", 1)
	}
	_ = node.Process.Signal(syscall.SIGTERM)
	_ = node.Wait() // it ends by the signal
	if err != nil || !exists(file) {
		return fmt.Errorf("no archive of classes: %w\n%s", err, said.String())
	}
	return nil
}
