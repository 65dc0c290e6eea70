// Package fact states facts in tests, one at a time: each that does not hold says what was got and
// what was
// wanted, and about what.
package fact

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Facts are about one thing, which is described when one of them does not hold.
type Facts struct {
	t      testing.TB
	must   bool
	format string
	args   []any
}

// Of are facts of which each is looked at.
func Of(t testing.TB, format string, args ...any) Facts {
	return Facts{t: t, format: format, args: args}
}

// Must are facts without which the rest of the test makes no sense.
func Must(t testing.TB, format string, args ...any) Facts {
	return Facts{t: t, must: true, format: format, args: args}
}

// holds reports a fact that does not.
func (f Facts) holds(ok bool, format string, args ...any) bool {
	if ok {
		return true
	}
	f.t.Helper()
	report := f.t.Errorf
	if f.must {
		report = f.t.Fatalf
	}
	report("%s: %s", fmt.Sprintf(f.format, f.args...), fmt.Sprintf(format, args...))
	return false
}

// NoError fails for an error.
func NoError(f Facts, err error) bool {
	f.t.Helper()
	return f.holds(err == nil, "error %v", err)
}

// Equal compares by ==.
func Equal[T comparable](f Facts, what string, got, want T) bool {
	f.t.Helper()
	return f.holds(got == want, "%s is %s, want %s", what, show(got), show(want))
}

// Other fails for one value.
func Other[T comparable](f Facts, what string, got, not T) bool {
	f.t.Helper()
	return f.holds(got != not, "%s is %s, want another", what, show(got))
}

// List compares what is in two lists: none is the same as an empty one.
func List[S ~[]E, E comparable](f Facts, what string, got, want S) bool {
	f.t.Helper()
	return f.holds(slices.Equal(got, want), "%s is %s, want %s", what, show(got), show(want))
}

// Deep compares all there is in two values.
func Deep(f Facts, what string, got, want any) bool {
	f.t.Helper()
	return f.holds(reflect.DeepEqual(got, want), "%s is %s, want %s", what, show(got), show(want))
}

// AtLeast fails for less.
func AtLeast[T cmp.Ordered](f Facts, what string, got, least T) bool {
	f.t.Helper()
	return f.holds(got >= least, "%s is %s, want at least %s", what, show(got), show(least))
}

// AtMost fails for more.
func AtMost[T cmp.Ordered](f Facts, what string, got, most T) bool {
	f.t.Helper()
	return f.holds(got <= most, "%s is %s, want at most %s", what, show(got), show(most))
}

// Above fails for a bound and what is below.
func Above[T cmp.Ordered](f Facts, what string, got, bound T) bool {
	f.t.Helper()
	return f.holds(got > bound, "%s is %s, want more than %s", what, show(got), show(bound))
}

// Below fails for a bound and what is above.
func Below[T cmp.Ordered](f Facts, what string, got, bound T) bool {
	f.t.Helper()
	return f.holds(got < bound, "%s is %s, want less than %s", what, show(got), show(bound))
}

// Has looks for a part of a text.
func Has[T, P ~string | ~[]byte](f Facts, text T, part P) bool {
	f.t.Helper()
	return f.holds(strings.Contains(string(text), string(part)), "no %q in %q", part, text)
}

// HasNo fails for a part of a text.
func HasNo[T, P ~string | ~[]byte](f Facts, text T, part P) bool {
	f.t.Helper()
	return f.holds(!strings.Contains(string(text), string(part)), "%q in %q", part, text)
}

// True fails for what does not hold.
func True(f Facts, what string, got bool) bool {
	f.t.Helper()
	return f.holds(got, "false, want true: %s", what)
}

// False fails for what holds.
func False(f Facts, what string, got bool) bool {
	f.t.Helper()
	return f.holds(!got, "true, want false: %s", what)
}

// show quotes texts, of which one may be empty.
func show(v any) string {
	switch v := v.(type) {
	case string, []byte:
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprintf("%+v", v)
	}
}
