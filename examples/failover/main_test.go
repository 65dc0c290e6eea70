package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// mostPause is how long a producer of the demo may get nothing, in milliseconds: the README shows
// 70, which is more on a busy machine; clients that are held until the limit of a hold wait for
// 10,000. The consumer's group moves, too, which is a rebalance: its next heartbeat tells it.
const mostPause, mostRebalance = 2000, 9000

// table are the rows that the demo ends with, by their names.
func table(out string) map[string]int64 {
	rows := map[string]int64{}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z ]+?) +(\d+)(?: ms)?$`).FindAllStringSubmatch(out, -1) {
		rows[m[1]], _ = strconv.ParseInt(m[2], 10, 64)
	}
	return rows
}

// TestTheDemoIsClean: every count that it ends with is 0, no client pauses for long, and it prints
// what it writes as JSON.
func TestTheDemoIsClean(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := filepath.Join(t.TempDir(), "result.json")
	out, err := exec.CommandContext(t.Context(), bin, "-json", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r result
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	about := fact.Of(t, "%s", b)
	fact.True(about, "r.Clean()", r.Clean())
	fact.AtLeast(about, "r.Acked", r.Acked, 900)
	fact.Equal(about, "r.Received", r.Received, r.Acked)
	fact.Equal(about, "len(r.Moves)", len(r.Moves), 2)
	rows := table(string(out))
	about = fact.Of(t, "%s", out)
	for name, want := range map[string]int64{
		"records acknowledged": int64(r.Acked), "records received": int64(r.Received),
		"lost": 0, "duplicated": 0, "out of order": 0, "client errors": 0,
		"longest pause of the producer": r.ProducerPauseMS, "longest pause of the consumer": r.ConsumerPauseMS,
	} {
		if got, ok := rows[name]; !ok || got != want {
			t.Errorf("%q is %d, want %d, in\n%s", name, got, want, out)
		}
	}
	for name, most := range map[string]int64{"longest pause of the producer": mostPause, "longest pause of the consumer": mostRebalance} {
		fact.AtLeast(about, name, rows[name], 1) // a record comes every 5 ms
		fact.Below(about, name, rows[name], most)
	}
}
