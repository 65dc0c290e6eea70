package block

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestErrorsKeepTheirKind: what is known of an error counts more than where it was found.
func TestErrorsKeepTheirKind(t *testing.T) {
	some := errors.New("some")
	for name, c := range map[string]struct {
		err  error
		want Kind
	}{
		"nothing known":       {some, ByOther},
		"a kind":              {Because(ByCopy, some), ByCopy},
		"the first one":       {Because(ByRights, fmt.Errorf("more: %w", Because(ByCopy, some))), ByCopy},
		"one that is set":     {As(ByGroup, Because(ByCopy, some)), ByGroup},
		"a lag":               {Because(ByCopy, Lagging(7, fmt.Errorf("%w: 7 records", ErrLag))), ByLag},
		"a cluster":           {Because(ByCopy, fmt.Errorf("dr: %w", plugin.ErrUnreachable)), ByCluster},
		"somebody else there": {plugin.ErrNotKafka, ByCluster},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if Because(ByCopy, nil) != nil {
		t.Error("no error has a kind")
	}
	if n := LagOf(As(ByGroup, Lagging(7, some))); n != 7 {
		t.Errorf("a lag of %d, want 7", n)
	}
	if n := LagOf(some); n != 0 {
		t.Errorf("a lag of %d where there is none", n)
	}
}

// TestSignsOfLife of a home that can't be asked.
func TestSignsOfLife(t *testing.T) {
	c := fakes.NewCluster("prod")
	c.Down = true
	if err := SignsOfLife(c); err != nil {
		t.Errorf("of one that is unreachable: %v", err)
	}
	for _, why := range []error{plugin.ErrNotKafka, plugin.ErrUnable} {
		c.Why = why
		if err := SignsOfLife(c); !errors.Is(err, why) {
			t.Errorf("%v, want %v", err, why)
		}
	}
	if err := Never(c); Of(err) != ByPolicy {
		t.Errorf("%v is of the kind %s", err, Of(err))
	}
}
