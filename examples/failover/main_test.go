package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

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
}
