package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTableIsComplete fails when kmsg knows an API that the table doesn't.
func TestTableIsComplete(t *testing.T) {
	known := rows()
	for k := range int16(kmsg.MaxKey + 1) {
		if kmsg.RequestForKey(k) == nil {
			continue
		}
		if _, ok := known[kmsg.Key(k)]; !ok {
			t.Errorf("%s (%d) has no row: say where it goes and what clients get when it fails, or refuse it", kmsg.NameForKey(k), k)
		}
	}
	for k, api := range offered() {
		if api.Scope == 0 {
			t.Errorf("%s does not say whose what it changes is", kmsg.NameForKey(int16(k)))
		}
	}
	for _, k := range refused() {
		if _, ok := offered()[k]; ok {
			t.Errorf("%s is both offered and refused", kmsg.NameForKey(int16(k)))
		}
	}
}

// TestNoVersionIsOfferedUnseen: a newer kmsg may know versions that nobody has looked at, which is
// not to be overlooked either.
func TestNoVersionIsOfferedUnseen(t *testing.T) {
	for _, api := range APIs() {
		r := kmsg.RequestForKey(int16(api.Key))
		if r == nil || api.GoesTo == Refused {
			continue
		}
		if api.MaxVersion > api.Reviewed {
			t.Errorf("%s is offered up to version %d, and reviewed up to %d", api.Name, api.MaxVersion, api.Reviewed)
		}
		if known := r.MaxVersion(); known > api.Reviewed {
			t.Errorf("kmsg knows version %d of %s, which is reviewed up to %d: look at its fields, then raise Reviewed in its row", known, api.Name, api.Reviewed)
		}
	}
}

// TestFlexibleVersions compares the table's first flexible version with kmsg's answer for each.
func TestFlexibleVersions(t *testing.T) {
	for _, api := range APIs() {
		r := kmsg.RequestForKey(int16(api.Key))
		if r == nil {
			continue
		}
		for v := range api.MaxVersion + 1 {
			r.SetVersion(v)
			if api.flexible(v) != r.IsFlexible() {
				t.Errorf("%s version %d: flexible is %t in the table, %t in kmsg", api.Name, v, api.flexible(v), r.IsFlexible())
			}
		}
	}
}

func TestLookupOutsideTheTable(t *testing.T) {
	for _, k := range []kmsg.Key{-1, kmsg.Key(kmsg.MaxKey + 1), 32767} {
		if _, ok := Lookup(k); ok {
			t.Errorf("key %d has a row", k)
		}
	}
}
