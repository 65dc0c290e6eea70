package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
)

// failoverFlags are what plan and run are told.
type failoverFlags struct {
	file, virtual, from, to string
	groups                  []string
	unplanned, atomic       bool
	timeout, settle         time.Duration
}

func failoverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "failover", Short: "Plan and run moves of topics and consumer groups from one cluster to another"}
	group(cmd)
	cmd.AddCommand(failoverPlan(), failoverRun(), failoverAbort(), failoverAcknowledge())
	return cmd
}

func (f *failoverFlags) register(cmd *cobra.Command) {
	fileFlag(cmd, &f.file)
	cmd.Flags().StringVar(&f.virtual, "virtual-cluster", "", "the virtual cluster, if there are several")
	cmd.Flags().StringVar(&f.from, "from", "", "move every topic that lives on this cluster")
	cmd.Flags().StringVar(&f.to, "to", "", "the new home")
	cmd.Flags().StringArrayVar(&f.groups, "group", nil, "move this consumer group, too; may be repeated (groups without a rule go with their topics)")
}

func failoverPlan() *cobra.Command {
	var f failoverFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "plan -c FILE (TOPIC... | --group GROUP | --from CLUSTER) --to CLUSTER",
		Short: "Show how many moves are ready, blocked or unplanned, what blocks them, and what would be lost",
		Long: `Show what moves would do now, without holding anybody: how many are ready, how many are blocked, how many would be
unplanned, and how many records would be lost; then what would become of consumer groups if the homes of these topics, and
their own, died this moment, or have died: SKIPPED is how many records a group has not read and would never get, since the copy has
not had all for SECONDS; REPEATED is how many it would get again if the gateway died with its home, since it has committed its
position, SECONDS ago, and the new home was not given that yet. Then share groups, the groups that would move, and the topics,
blocked ones first. Of a topic, SECONDS is for how long the copy has not had all that the home has, or had then; RUNS is how many runs of records
stand at one distance each, UNALIGNED how many offsets were not looked at yet of a copy that has several. Partitions are shown
where the copy lags, has several runs, or has something wrong.

Exit codes: 0 nothing is blocked, 1 something is, or there is no plan (the message says why), 2 wrong command line.`,
		RunE: func(cmd *cobra.Command, topics []string) error {
			var plans plan.Plans
			if err := f.post(cmd, "moves/plan", topics, &plans); err != nil {
				return err
			}
			if err := show(cmd, plans, func(w io.Writer) {
				if len(plans.Topics)+len(plans.Carried) == 0 {
					fmt.Fprintf(w, "no topic that is known lives on %s\n", f.from)
					return
				}
				writePlans(w, plans, all)
			}); err != nil {
				return err
			}
			if plans.Blocked+plans.BlockedGroups() > 0 {
				return errFailed
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&all, "partitions", false, "show all partitions")
	cmd.Flags().BoolVar(&f.unplanned, "unplanned", false, "plan as if homes that don't answer were gone for good")
	return cmd
}

const (
	// mostDiffering is how many partitions are shown, unless all are to be.
	mostDiffering = 50
	// mostDamaged is how many groups are shown that would not read on where they are.
	mostDamaged = 50
)

func writePlans(w io.Writer, plans plan.Plans, all bool) {
	fmt.Fprintln(w, plans.Summary)
	if plans.Problem != "" {
		fmt.Fprintln(w, plans.Problem)
	}
	if n := plans.LostTail(); n > 0 {
		fmt.Fprintf(w, "records that were lost when %s died, and stay hidden there: %d\n", plans.Topics[0].To, n)
	}
	if plans.Fenced {
		fmt.Fprintln(w, "old homes are fenced before the commit, by a hook that is not asked yet")
	}
	writeDamage(w, plans)
	if len(plans.Shares) > 0 {
		fmt.Fprintln(w, "\nthese share groups get records again that they have not acknowledged, and may get some that they have:")
		fmt.Fprintln(w, "SHARE GROUP\tSTAYS ON\tOF TOPICS")
		for _, g := range plans.Shares {
			fmt.Fprintf(w, "%s\t%s\t%s\n", cell(g.Group), g.Home, strings.Join(g.Topics, ", "))
		}
	}
	if len(plans.Carried) > 0 {
		fmt.Fprintln(w, "\nGROUP\tSTATE\tFROM\tTO\tPOSITIONS\tBEHIND\tBLOCKED BY")
		for _, g := range plans.Carried {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d ms\t%s\n", cell(g.Group), g.State, g.From, g.To, g.Positions, g.Behind, blockedBy(g.BlockedBy, g.Blocked))
		}
	}
	if len(plans.Topics) == 0 {
		return
	}
	fmt.Fprintln(w, "\nTOPIC\tSTATE\tFROM\tTO\tLAG\tSECONDS\tRUNS\tUNALIGNED\tLOST\tBLOCKED BY")
	for _, p := range plans.Topics {
		runs, unaligned, seconds := p.Aligned()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f\t%d\t%d\t%d\t%s\n", p.Topic, p.State, p.From, p.To, known(p.Lag()), seconds, runs, unaligned, p.Lost, blockedBy(p.BlockedBy, p.Blocked))
	}
	writePartitions(w, plans.Topics, all)
}

// writeDamage shows what groups would miss and get again.
func writeDamage(w io.Writer, plans plan.Plans) {
	if len(plans.Groups) == 0 {
		return
	}
	fmt.Fprintln(w)
	if plans.Unplanned < len(plans.Topics) || len(plans.Topics) == 0 {
		fmt.Fprintln(w, "a planned move takes all groups along as they are; if their homes died this moment, these would miss records, or get some again:")
	} else {
		fmt.Fprintln(w, "these groups would miss records, or get some again:")
	}
	fmt.Fprintln(w, "GROUP\tHOME\tSKIPPED\tSECONDS\tREPEATED\tSECONDS\tOF TOPICS")
	shown := plans.Groups[:min(len(plans.Groups), mostDamaged)]
	for _, g := range shown {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\t%s\t%.1f\t%s\n", cell(g.Group), g.Home, known(g.Skipped), g.SkippedSeconds, known(g.Repeated), g.RepeatedSeconds, strings.Join(g.Topics, ", "))
	}
	if more := len(plans.Groups) - len(shown); more > 0 {
		fmt.Fprintf(w, "%s more: see --output json\n", count(more, "group"))
	}
}

// writePartitions shows the partitions whose copies lag or do not stand at one distance, or all.
func writePartitions(w io.Writer, topics []plan.Plan, all bool) {
	shown, more := 0, 0
	for _, p := range topics {
		for _, x := range p.Partitions {
			if !all && (!x.Differs() || shown == mostDiffering) {
				if x.Differs() {
					more++
				}
				continue
			}
			if shown++; shown == 1 {
				fmt.Fprintln(w, "\nTOPIC\tPARTITION\tEND ON FROM\tEND ON TO\tLAG\tSECONDS\tALIGNED\tRUNS\tHOLES\tSKIPS\tFIRST MISMATCH")
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", p.Topic, x.Partition, known(x.FromEnd), known(x.ToEnd), known(x.Lag), known(int64(x.LagSeconds)), aligned(x), x.Runs, x.Holes, x.Skips, x.Mismatch)
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "%s more: see --partitions\n", count(more, "partition"))
	}
}

// blockedBy shows what blocks a move.
func blockedBy(by block.Kind, why string) string {
	if by != "" && by != block.ByOther {
		return fmt.Sprintf("%s: %s", by, why)
	}
	return why
}

// aligned is between which offsets the records of a copy are known to be those of the home.
func aligned(x plan.Partition) string {
	switch {
	case x.To < 0:
		return "?"
	case x.Front >= 0:
		return fmt.Sprintf("%d to %d, front at %d", x.From, x.To, x.Front)
	}
	return fmt.Sprintf("%d to %d", x.From, x.To)
}

// known shows a number, or that it is unknown.
func known(n int64) string {
	if n < 0 {
		return "?"
	}
	return strconv.FormatInt(n, 10)
}

func failoverAcknowledge() *cobra.Command {
	var file string
	var a admin.Acknowledge
	cmd := &cobra.Command{
		Use:   "acknowledge -c FILE (MOVE... | --all)",
		Short: "Note that what unplanned moves may have lost is dealt with, which ends its alert",
		RunE: func(cmd *cobra.Command, moves []string) error {
			if a.All == (len(moves) > 0) {
				return &usageError{errors.New("name the moves by their ids, see GET /moves, or say --all")}
			}
			c, err := newClient(file)
			if err != nil {
				return err
			}
			a.Moves = moves
			var done []failover.Report
			if err := c.call(cmd.Context(), http.MethodPost, admin.Prefix+"moves/acknowledge", a, &done); err != nil {
				return err
			}
			return show(cmd, done, func(w io.Writer) {
				var lost int64
				for _, m := range done {
					lost += m.Lost()
				}
				fmt.Fprintf(w, "acknowledged: up to %s of %s\n", count(int(lost), "lost record"), count(len(done), "move"))
			})
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&a.All, "all", false, "all losses that nobody has acknowledged")
	return cmd
}

// count is a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (f *failoverFlags) post(cmd *cobra.Command, path string, topics []string, out any) error {
	if (f.from == "") == (len(topics)+len(f.groups) == 0) {
		return &usageError{errors.New("name either the topics that are to move, and with --group the groups, or with --from CLUSTER the one whose topics are")}
	}
	if f.to == "" {
		return &usageError{errors.New("name the new home with --to CLUSTER")}
	}
	c, err := newClient(f.file)
	if err != nil {
		return err
	}
	return c.call(cmd.Context(), http.MethodPost, admin.Prefix+path, admin.Move{
		VirtualCluster: f.virtual, Topics: topics, Groups: f.groups, From: f.from, To: f.to, Unplanned: f.unplanned, Atomic: f.atomic,
	}, out)
}
