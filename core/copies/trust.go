package copies

import (
	"fmt"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// Untrusted says why a copy can't be gone by when the home does not answer; nil if it can. ends are
// where it ends.
func Untrusted(t *catalog.Topic, copied *Side, ends []int64) error {
	to := copied.Cluster.Name()
	if t.Stubs[to] {
		return fmt.Errorf("the topic on %s is only a stub: it holds no copy", to)
	}
	if id, compared := t.Copies[to]; compared && id != copied.Topic.ID {
		return fmt.Errorf("the copy on %s was made again since it was last compared: its distance is unknown", to)
	}
	for p := range t.Partitions {
		if t.Shown(int32(p)) && p < len(ends) && ends[p] == 0 {
			return fmt.Errorf("partition %d is empty on %s, but clients know records of it: the copy is missing", p, to)
		}
		if t.Partitions[p].Copies[to].Died {
			return fmt.Errorf("partition %d was not compared with its copy on %s since that came back: it may lack what was written meanwhile, and have records that were lost when it died; `unplanned: always` or `failover run --unplanned` takes it as it was when it died", p, to)
		}
		if _, ok := t.Partitions[p].Delta(to); !ok {
			return fmt.Errorf("partition %d was never compared with its copy on %s while both lived; `unplanned: always` or `failover run --unplanned` takes the offsets to be the same", p, to)
		}
	}
	return nil
}
