package kafkatest

import (
	"testing"

	"github.com/sluice-gateway/sluice/testing/eventually"
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
