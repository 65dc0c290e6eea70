package kafkatest

import (
	"github.com/sluice-gateway/sluice/testing/eventually"
	"testing"
	"time"
)

func TestRealCluster(t *testing.T) {
	Require(t, "java", "mvn")
	ctx := eventually.Context(t)
	c, err := Real(ctx, "prod", Kafka4, t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := Create(ctx, c, "orders", 3); err != nil {
		t.Fatal(err)
	}
	if _, err := Ends(ctx, c.Bootstrap(), "orders"); err != nil {
		t.Fatal(err)
	}
}

// TestContainers runs the same cluster in containers, through a kill and a freeze.
func TestContainers(t *testing.T) {
	RequireEngine(t)
	Require(t, "java", "mvn", "jlink")
	ctx := eventually.Context(t)
	image, err := Image(ctx, Kafka4)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Containers(ctx, "box", Kafka4, image, t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := Create(ctx, c, "t", 2); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := c.Freeze(1); err != nil {
		t.Fatal(err)
	}
	if err := c.Thaw(1); err != nil {
		t.Fatal(err)
	}
	for {
		ends, err := Ends(ctx, c.Bootstrap(), "t")
		if err == nil && len(ends["t"]) == 2 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%v %v", ends, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
