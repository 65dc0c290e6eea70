package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestTheComposeStory runs the numbered steps on a Docker engine: real Kafka, MirrorMaker 2 and the
// console tools, in images made on the spot.
func TestTheComposeStory(t *testing.T) {
	kafkatest.RequireEngine(t)
	if exec.Command("docker", "compose", "version").Run() != nil {
		kafkatest.Require(t, "docker-compose")
	}
	kafkatest.Require(t, "java", "mvn", "jlink", "curl")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	image, err := kafkatest.Image(ctx, kafkatest.Kafka4)
	if err != nil {
		t.Fatal(err)
	}
	port, err := kafkatest.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "KAFKA_IMAGE="+image, "SLUICE_IMAGE=sluice-test/gateway:local", fmt.Sprintf("ADMIN_PORT=%d", port), fmt.Sprintf("COMPOSE_PROJECT_NAME=sluice%d", port))
	step := func(dir, name string, args ...string) string {
		t.Helper()
		began := time.Now()
		cmd := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			logs := exec.Command("docker-compose", "logs", "--tail", "30")
			logs.Dir, logs.Env = dir, env
			more, _ := logs.CombinedOutput()
			t.Fatalf("%s: %v\n%s\n%s", name, err, out, more)
		}
		t.Logf("%s: %s", name, time.Since(began).Round(100*time.Millisecond))
		return string(out)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	step(here, "0-build.sh")
	defer step(dir, "6-down.sh")
	step(dir, "1-up.sh")
	step(dir, "2-topic.sh")
	if out := step(dir, "3-produce.sh"); strings.Count(out, "before-") != 10 {
		t.Errorf("before:\n%s", out)
	}
	if out := step(dir, "4-failover.sh"); !strings.Contains(out, `"planned": true`) || !strings.Contains(out, `"phase": "done"`) {
		t.Errorf("failover:\n%s", out)
	}
	// Whoever runs the steps may not be root: what the gateway writes in its container is not left
	// in their folder.
	if left, err := os.ReadDir(filepath.Join(dir, "compose", "sluice")); err != nil || len(left) != 1 {
		t.Errorf("in the folder there are %v, %v", left, err)
	}
	out := step(dir, "5-after.sh")
	if strings.Count(out, "before-") != 10 || strings.Count(out, "after-") != 10 || !strings.Contains(out, "resilient_topic:0:10\nresilient_topic:0:20") {
		t.Errorf("after:\n%s", out)
	}
}
