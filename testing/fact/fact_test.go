package fact

import (
	"errors"
	"fmt"
	"testing"
)

// told keeps what a test would be told.
type told struct {
	testing.TB
	errors []string
	fatal  bool
}

func (*told) Helper() {}

func (r *told) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *told) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.fatal = true
}

// TestFacts: each says what was got and wanted when it does not hold, and nothing when it does.
func TestFacts(t *testing.T) {
	for name, c := range map[string]struct {
		good, bad func(Facts) bool
		says      string
	}{
		"NoError": {func(f Facts) bool { return NoError(f, nil) }, func(f Facts) bool { return NoError(f, errors.New("broken")) }, "error broken"},
		"Equal":   {func(f Facts) bool { return Equal(f, "n", 2, 2) }, func(f Facts) bool { return Equal(f, "n", 1, 2) }, "n is 1, want 2"},
		"texts":   {func(f Facts) bool { return Equal(f, "s", "a", "a") }, func(f Facts) bool { return Equal(f, "s", "", "a") }, `s is "", want "a"`},
		"Other":   {func(f Facts) bool { return Other(f, "n", 1, 2) }, func(f Facts) bool { return Other(f, "n", 2, 2) }, "n is 2, want another"},
		"List":    {func(f Facts) bool { return List(f, "l", nil, []int{}) }, func(f Facts) bool { return List(f, "l", []int{1}, []int{2}) }, "l is [1], want [2]"},
		"Deep":    {func(f Facts) bool { return Deep(f, "p", &[]int{1}, &[]int{1}) }, func(f Facts) bool { return Deep(f, "p", []int{1}, []int{2}) }, "p is [1], want [2]"},
		"AtLeast": {func(f Facts) bool { return AtLeast(f, "n", 2, 2) }, func(f Facts) bool { return AtLeast(f, "n", 1, 2) }, "n is 1, want at least 2"},
		"AtMost":  {func(f Facts) bool { return AtMost(f, "n", 2, 2) }, func(f Facts) bool { return AtMost(f, "n", 3, 2) }, "n is 3, want at most 2"},
		"Above":   {func(f Facts) bool { return Above(f, "n", 3, 2) }, func(f Facts) bool { return Above(f, "n", 2, 2) }, "n is 2, want more than 2"},
		"Below":   {func(f Facts) bool { return Below(f, "n", 1, 2) }, func(f Facts) bool { return Below(f, "n", 2, 2) }, "n is 2, want less than 2"},
		"Has":     {func(f Facts) bool { return Has(f, "abc", "b") }, func(f Facts) bool { return Has(f, []byte("abc"), "d") }, `no "d" in "abc"`},
		"HasNo":   {func(f Facts) bool { return HasNo(f, "abc", "d") }, func(f Facts) bool { return HasNo(f, "abc", []byte("b")) }, `"b" in "abc"`},
		"True":    {func(f Facts) bool { return True(f, "ok", true) }, func(f Facts) bool { return True(f, "ok", false) }, "false, want true: ok"},
		"False":   {func(f Facts) bool { return False(f, "ok", false) }, func(f Facts) bool { return False(f, "ok", true) }, "true, want false: ok"},
	} {
		t.Run(name, func(t *testing.T) {
			var r told
			if !c.good(Of(&r, "case %d", 7)) {
				t.Error("what holds is taken not to")
			}
			if len(r.errors) != 0 {
				t.Errorf("what holds is told: %q", r.errors)
			}
			if c.bad(Of(&r, "case %d", 7)) {
				t.Error("what does not hold is taken to")
			}
			if want := "case 7: " + c.says; len(r.errors) != 1 || r.errors[0] != want {
				t.Errorf("told %q, want %q", r.errors, want)
			}
			if r.fatal {
				t.Error("the test is ended, want it to go on")
			}
			if c.bad(Must(&r, "case")); !r.fatal {
				t.Error("the test goes on, want it ended")
			}
		})
	}
}
