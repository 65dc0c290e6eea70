package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestAPlanShowsPartitionsWhereCopiesDiffer: a line for each topic, and one for each partition
// whose copy lags or does not stand at one distance; all of them where that is asked for.
func TestAPlanShowsPartitionsWhereCopiesDiffer(t *testing.T) {
	same := plan.Partition{Partition: 0, FromEnd: 10, ToEnd: 10, Aligned: standing.Aligned{To: 10, Front: -1, Runs: 1}}
	drifted := plan.Partition{Partition: 1, FromEnd: 900, ToEnd: 950, Lag: 7, Aligned: standing.Aligned{From: 500, To: 890, Front: 120, Runs: 50, Holes: 2, Skips: 49, Wrong: 1, Mismatch: "the record at 7 is wrong", LagSeconds: 12}}
	plans := plan.Plans{Summary: "2 ready", Topics: []plan.Plan{
		{Topic: "a", State: plan.StateReady, From: "prod", To: "dr", Partitions: []plan.Partition{same, drifted}},
		{Topic: "b", State: plan.StateReady, From: "prod", To: "dr", Partitions: []plan.Partition{same}},
	}}
	for all, want := range map[bool]string{
		false: "2 ready\n" +
			"\nTOPIC\tSTATE\tFROM\tTO\tLAG\tSECONDS\tRUNS\tUNALIGNED\tLOST\tBLOCKED BY\n" +
			"a\tready\tprod\tdr\t7\t12\t51\t380\t0\t\n" +
			"b\tready\tprod\tdr\t0\t0\t1\t0\t0\t\n" +
			"\nTOPIC\tPARTITION\tEND ON FROM\tEND ON TO\tLAG\tSECONDS\tALIGNED\tRUNS\tHOLES\tSKIPS\tFIRST MISMATCH\n" +
			"a\t1\t900\t950\t7\t12\t500 to 890, front at 120\t50\t2\t49\tthe record at 7 is wrong\n",
		true: "a\t0\t10\t10\t0\t0\t0 to 10\t1\t0\t0\t\n" +
			"a\t1\t900\t950\t7\t12\t500 to 890, front at 120\t50\t2\t49\tthe record at 7 is wrong\n" +
			"b\t0\t10\t10\t0\t0\t0 to 10\t1\t0\t0\t\n",
	} {
		var out strings.Builder
		writePlans(&out, plans, all)
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("all %t:\n%s\nwant\n%s", all, &out, want)
		}
	}
	plans.Topics[0].Partitions = nil
	for range 60 {
		plans.Topics[0].Partitions = append(plans.Topics[0].Partitions, drifted)
	}
	var out strings.Builder
	if writePlans(&out, plans, false); !strings.HasSuffix(out.String(), "10 partitions more: see --partitions\n") {
		t.Errorf("of 60 partitions is shown:\n%s", &out)
	}
}

// TestAPlanShowsWhatBecomesOfGroups: what they would miss and get again, worst first, and that a
// planned move does nothing of it; and share groups.
func TestAPlanShowsWhatBecomesOfGroups(t *testing.T) {
	late := standing.Damage{Group: "late", Home: "prod", Topics: []string{"a", "b"}, Skipped: 7, SkippedSeconds: 12.4, Repeated: 3, RepeatedSeconds: 0.84}
	plans := plan.Plans{
		Summary: "1 ready", Topics: []plan.Plan{{Topic: "a", State: plan.StateReady}}, Ready: 1,
		Groups: []standing.Damage{{Group: "guess", Home: "dr", Topics: []string{"a"}, Skipped: -1, Repeated: -1}, late},
		Shares: []plan.Share{{Group: "workers", Home: "prod", Topics: []string{"a"}}},
	}
	text := func() string {
		var out strings.Builder
		writePlans(&out, plans, false)
		return out.String()
	}
	about := fact.Of(t, "a plan")
	fact.Has(about, text(), "if their homes died this moment, these would miss records, or get some again:\n"+
		"GROUP\tHOME\tSKIPPED\tSECONDS\tREPEATED\tSECONDS\tOF TOPICS\n"+
		"guess\tdr\t?\t0\t?\t0.0\ta\n"+
		"late\tprod\t7\t12\t3\t0.8\ta, b\n\n")
	fact.Has(about, text(), "SHARE GROUP\tSTAYS ON\tOF TOPICS\nworkers\tprod\ta\n")
	plans.Ready, plans.Unplanned, plans.Groups = 0, 1, slices.Repeat([]standing.Damage{late}, 53)
	about = fact.Of(t, "once the home is gone")
	fact.Has(about, text(), "\nthese groups would miss records, or get some again:\n")
	fact.Has(about, text(), "\n3 groups more: see --output json\n")
}
