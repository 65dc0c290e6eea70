package standing

import (
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// TestWhatAReaderMisses of a copy: what it lacks at its beginning and at its end.
func TestWhatAReaderMisses(t *testing.T) {
	whole := (&catalog.Topic{Home: "prod"}).Partition(0)
	holed := whole.Advance(catalog.Segment{Generation: 1, Start: 1000, PhysicalStart: 100, Cluster: "x"}, whole.Distance.Shift(0), 100, 0)
	for name, c := range map[string]struct {
		Copied
		part     *catalog.Partition
		begins   int64
		at, want int64
	}{
		"a complete copy":            {Copied{Has: copies.Stretch{From: 0, To: 100}, Known: 100}, whole, 0, 40, 0},
		"a copy that is ahead":       {Copied{Has: copies.Stretch{From: 0, To: 120}, Known: 100}, whole, 0, 40, 0},
		"the end is missing":         {Copied{Has: copies.Stretch{From: 0, To: 90}, Known: 100}, whole, 0, 40, 10},
		"a reader in what is lost":   {Copied{Has: copies.Stretch{From: 0, To: 90}, Known: 100}, whole, 0, 95, 5},
		"a reader behind everything": {Copied{Has: copies.Stretch{From: 0, To: 90}, Known: 100}, whole, 0, 100, 0},
		"the beginning is missing":   {Copied{Has: copies.Stretch{From: 50, To: 100}, Known: 100}, whole, 0, 40, 10},
		"both":                       {Copied{Has: copies.Stretch{From: 50, To: 90}, Known: 100}, whole, 0, 40, 20},
		"an empty copy":              {Copied{Has: copies.Stretch{From: 90, To: 90}, Known: 100}, whole, 0, 40, 60},
		"a copy of what came later":  {Copied{Has: copies.Stretch{From: 200, To: 210}, Known: 100}, whole, 0, 40, 60},
		"deleted records":            {Copied{Has: copies.Stretch{From: 50, To: 100}, Known: 100}, whole, 45, 40, 5},
		"a hole":                     {Copied{Has: copies.Stretch{From: 0, To: 95}, Known: 1010}, &holed, 0, 40, 15},
		"a reader in a hole":         {Copied{Has: copies.Stretch{From: 0, To: 95}, Known: 1010}, &holed, 0, 500, 10},
	} {
		part := *c.part
		part.LogStart = c.begins
		if got := c.skipped(&part, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
