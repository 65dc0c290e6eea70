package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ways in which a test depends on how fast its machine is: an upper limit on what something took,
// and seconds in which work has to be done. Milliseconds are for what must not be done in time.
var (
	tookTooLong = regexp.MustCompile(`\b(took|late|time\.Since\(\w+\)) >=? `)
	seconds     = regexp.MustCompile(`(WithTimeout\(.*, |WithDeadline\(.*|time\.After\(|time\.Now\(\)\.Add\(|Timeout[:(] ?)(\d+ ?\* ?)?time\.Second\b`)
)

// TestNoTestDependsOnTheMachinesPace: time is a fake clock's, a benchmark's, or what
// testing/eventually waits.
func TestNoTestDependsOnTheMachinesPace(t *testing.T) {
	paced := 0
	for name, text := range testFiles(t) {
		for i, line := range strings.Split(text, "\n") {
			if tookTooLong.MatchString(line) || seconds.MatchString(line) {
				if paced++; !strings.Contains(text, "synctest.Test(") {
					t.Errorf("%s:%d: %s", name, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
	if paced == 0 {
		t.Error("nothing is found, not even what fake clocks measure")
	}
}

// testFiles are the texts of all tests but this one.
func testFiles(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "clock_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
