package e2e

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// groupsDocument has the table of what clients see of the moves of their groups.
const groupsDocument = "../../core/failover/README.md"

// rounds is how often something is to be done: once, or as often as the environment says.
func rounds(t *testing.T, variable string) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(variable), "1"))
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// pauses are the longest pauses of consumers, one for each move, by the names of families.
type pauses map[string][]time.Duration

// add notes those of one move, as clients.Recorder.Longest returns them.
func (p pauses) add(longest map[string]time.Duration) {
	for name := range families {
		p[name] = append(p[name], longest["c:"+name])
		slices.Sort(p[name])
	}
}

// quantile is the least of a family's pauses that so many percent of them do not exceed; 0 without
// any.
func (p pauses) quantile(name string, percent int) time.Duration {
	n := len(p[name])
	if n == 0 {
		return 0
	}
	return p[name][(n*percent+99)/100-1]
}

func (p pauses) String() string {
	var lines []string
	for name, f := range families {
		lines = append(lines, fmt.Sprintf("%-24s p50 %.1f s, p99 %.1f s, longest %.1f s, of %d", f.says, p.quantile(name, 50).Seconds(), p.quantile(name, 99).Seconds(), p.quantile(name, 100).Seconds(), len(p[name])))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// table compares the clients of the table in the document with those of the test, or writes it.
func table(t *testing.T, planned, killed pauses) {
	t.Helper()
	b, err := os.ReadFile(groupsDocument)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?s)\| consumer \|.*?\n\|---.*?\n((?:\|.*?\n)+)`)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(groupsDocument, pattern.ReplaceAllLiteral(b, []byte(written(planned, killed))), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	has := pattern.FindStringSubmatch(string(b))
	for _, f := range families {
		if has == nil || !strings.Contains(has[1], "| "+f.says+" |") {
			t.Errorf("%s has no row for %s", groupsDocument, f.says)
		}
	}
}

// written is the table.
func written(planned, killed pauses) string {
	head := func(p pauses) string {
		for _, all := range p {
			return fmt.Sprintf("longest pause, p50 / p99 of %d", len(all))
		}
		return "-"
	}
	var rows []string
	for name, f := range families {
		cells := []string{f.says}
		for _, p := range []pauses{planned, killed} {
			cells = append(cells, fmt.Sprintf("%.1f s / %.1f s", p.quantile(name, 50).Seconds(), p.quantile(name, 99).Seconds()))
		}
		rows = append(rows, "| "+strings.Join(cells, " | ")+" | 0 / 0 / 0 |")
	}
	slices.Sort(rows)
	return fmt.Sprintf("| consumer | planned move of topic and group: %s | all brokers of the home killed, then the edit: %s | lost / twice / errors |\n|---|---|---|---|\n%s\n",
		head(planned), head(killed), strings.Join(rows, "\n"))
}
