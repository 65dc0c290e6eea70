package cli

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/plan"
)

// TestAPlanTellsOfALostTail, and of none where there is none.
func TestAPlanTellsOfALostTail(t *testing.T) {
	for lost, want := range map[int64]bool{7: true, 0: false} {
		var out strings.Builder
		writePlans(&out, plan.Plans{Summary: "1 ready", Topics: []plan.Plan{{Topic: "orders", From: "dr", To: "prod", Partitions: []plan.Partition{{LostTail: lost}}}}}, false)
		if said := strings.Contains(out.String(), "records that were lost when prod died, and stay hidden there: 7"); said != want {
			t.Errorf("of %d records: %s", lost, out.String())
		}
	}
}
