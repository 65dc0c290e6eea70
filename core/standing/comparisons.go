package standing

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// comparison is the outcome of comparing the tails of a copy.
type comparison struct {
	at         time.Time
	generation int32
	partitions []copies.Stretch // of virtual offsets
	wrong      []string         // why partitions could not be compared, nil if all could
	extent     copies.Extent
	err        string
	by         block.Kind // the kind of err
	waits      bool       // a partition has not been looked at to its end
}

// comparisons remembers the last comparison of each copy.
type comparisons struct {
	mu   sync.Mutex
	last map[[3]string]comparison // by virtual cluster, topic, cluster
}

// still reports that nothing has been written or deleted on either side since a copy was last
// compared, which is as good as comparing it now.
func (c *comparisons) still(vc string, t *catalog.Topic, cluster string, at copies.Extent) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := [3]string{vc, t.Name, cluster}
	last, ok := c.last[k]
	if !ok || last.generation != t.Generation || !last.extent.Same(at) {
		return false
	}
	last.at = time.Now()
	c.last[k] = last
	return true
}

func (c *comparisons) note(vc string, t *catalog.Topic, cluster string, found []copies.Found, at copies.Extent, err error) {
	now := comparison{at: time.Now(), generation: t.Generation, extent: at}
	var failed *copies.UnreadError
	now.waits = slices.ContainsFunc(found, func(f copies.Found) bool { return f.Cut })
	if errors.As(err, &failed) || now.waits {
		now.extent = copies.Extent{} // it is compared again, though nothing may have changed
	}
	if err != nil {
		now.err, now.by = err.Error(), block.Of(block.Because(block.ByCopy, err))
	}
	for p, f := range found {
		part, s := t.Partition(int32(p)), f.Compared
		if f.Err != nil {
			now.partitions = append(now.partitions, copies.Stretch{From: -1, To: -1})
			if now.wrong == nil {
				now.wrong = make([]string, len(found))
			}
			now.wrong[p] = f.Err.Error()
			continue
		}
		now.partitions = append(now.partitions, copies.Stretch{From: part.ToVirtual(s.From), To: part.ToVirtual(s.To)})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[[3]string]comparison{}
	}
	c.last[[3]string{vc, t.Name, cluster}] = now
}

// waits is 1 for a copy of which a partition was not looked at to its end, else 0.
func (c *comparisons) waits(vc string, at copyNow) int {
	if c.of(vc, at.Topic, at.other).waits {
		return 1
	}
	return 0
}

// forget leaves out the topics that are gone.
func (c *comparisons) forget(gone func(vc, topic string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.last, func(k [3]string, _ comparison) bool { return gone(k[0], k[1]) })
}

func (c *comparisons) of(vc string, t *catalog.Topic, cluster string) comparison {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.last[[3]string{vc, t.Name, cluster}]; last.generation == t.Generation {
		return last
	}
	return comparison{}
}
