package containers

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestContainers runs the same cluster in containers, through a kill and a freeze.
func TestContainers(t *testing.T) {
	kafkatest.RequireEngine(t)
	kafkatest.Require(t, "java", "mvn", "jlink")
	ctx := eventually.Context(t)
	image, err := kafkatest.Image(ctx, kafkatest.Kafka4)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(ctx, "box", kafkatest.Kafka4, image, t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := kafkatest.Create(ctx, c, "t", 2); err != nil {
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
		ends, err := kafkatest.Ends(ctx, c.Bootstrap(), "t")
		if err == nil && len(ends["t"]) == 2 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%v %v", ends, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
