package protocol

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// counted counts the requests of an API that a cluster gets.
func counted(f *kafkatest.FakeCluster, key kmsg.Key) *atomic.Int64 {
	n := &atomic.Int64{}
	f.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		n.Add(1)
		return nil, nil, false
	})
	return n
}

// mirrored waits until dr has all that groups have committed.
func (h *house) mirrored(groups int) {
	h.t.Helper()
	h.wait("the mirror", func() bool {
		var got admin.Groups
		h.v1("GET", "/groups/"+tenant, "", &got)
		for _, g := range got.Groups {
			if g.Mirrored["dr"] != 0 {
				return false
			}
		}
		return len(got.Groups) == groups
	})
}

// TestPositionsAreMirroredInOneRequest for each group that has committed: who coordinates it is
// looked for once.
func TestPositionsAreMirroredInOneRequest(t *testing.T) {
	h := build(t, "orders")
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 30)
	adm := kadm.NewClient(h.client(h.gw.Bootstrap))
	finds, commits := counted(h.dr, kmsg.FindCoordinator), counted(h.dr, kmsg.OffsetCommit)
	const many = 20
	flush := func(at int64) (found, committed int64) {
		f, c := finds.Load(), commits.Load()
		for i := range many {
			h.commitAt(adm, fmt.Sprint("app-", i), at)
		}
		h.mirrored(many)
		return finds.Load() - f, commits.Load() - c
	}
	found, committed := flush(1)
	t.Logf("the first flush: %d FindCoordinator, %d OffsetCommit", found, committed)
	found, committed = flush(2)
	about := fact.Of(t, "the second flush")
	fact.Equal(about, "FindCoordinator", found, 0)
	fact.AtLeast(about, "OffsetCommit", committed, many)
	fact.AtMost(about, "OffsetCommit", committed, 2*many) // commits come over more than one second
}

// commitAt lets a group commit an offset of partition 0 of orders through the gateway.
func (h *house) commitAt(adm *kadm.Client, group string, at int64) {
	h.t.Helper()
	all := kadm.Offsets{}
	all.AddOffset("orders", 0, at, -1)
	if err := adm.CommitAllOffsets(h.ctx, group, all); err != nil {
		h.t.Fatal(err)
	}
}
