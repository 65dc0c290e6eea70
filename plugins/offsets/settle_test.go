package offsets

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

const (
	lastRead = 100          // what is in front of the hole ends here
	behind   = 2_097_152    // the hole ends here
	there    = int64(70)    // the same place on the new home
	lost     = lastRead + 5 // what the old home has shown
)

// without builds orders after a move without its home: partition 0 and 1 stand at a hole. The new
// home says where its logs end.
func without(t *testing.T, ends [2]int64) (o *Offsets, asked *int) {
	t.Helper()
	o, env := build(t, false)
	asked = new(int)
	env.Cluster("dr").(*plugintest.Cluster).Answer = func(_ int32, req kmsg.Request) (kmsg.Response, error) {
		*asked++
		out := kmsg.NewPtrListOffsetsResponse()
		for _, rt := range req.(*kmsg.ListOffsetsRequest).Topics {
			x := kmsg.NewListOffsetsResponseTopic()
			x.Topic = rt.Topic
			for _, p := range rt.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.Offset = p.Partition, ends[p.Partition]
				x.Partitions = append(x.Partitions, rp)
			}
			out.Topics = append(out.Topics, x)
		}
		return out, nil
	}
	if err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Home, n.Generation, n.Published, n.HomeID = "dr", 1, 1, plugintest.ID("dr", "orders")
		for p := range n.Partitions {
			n.Partitions[p] = n.Partitions[p].Advance(catalog.Segment{Generation: 1, Start: behind, PhysicalStart: there, Cluster: "dr", EpochBase: 5}, n.Partitions[p].Distance.Shift(there-lastRead), lastRead, 3)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return o, asked
}

// positionsOf is what a group is told that it has committed, for both partitions, by the versions
// that name one group and several.
func positionsOf(t *testing.T, o *Offsets, version int16, committed [2]int64) (out [2]int64) {
	t.Helper()
	m := kmsg.NewPtrOffsetFetchRequest()
	m.SetVersion(version)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		r := kmsg.NewPtrOffsetFetchResponse()
		r.SetVersion(version)
		one, of := kmsg.NewOffsetFetchResponseTopic(), kmsg.NewOffsetFetchResponseGroupTopic()
		one.Topic, of.Topic = "orders", "orders"
		for n, at := range committed {
			one.Partitions = append(one.Partitions, kmsg.OffsetFetchResponseTopicPartition{Partition: int32(n), Offset: at, LeaderEpoch: -1})
			of.Partitions = append(of.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: int32(n), Offset: at, LeaderEpoch: -1})
		}
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group, g.Topics = "group", append(g.Topics, of)
		r.Topics, r.Groups = append(r.Topics, one), append(r.Groups, g)
		return plugintest.Encode(r), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Decode[*kmsg.OffsetFetchResponse](t, resp)
	if version < 8 {
		for _, p := range r.Topics[0].Partitions {
			out[p.Partition] = p.Offset
		}
		return out
	}
	for _, p := range r.Groups[0].Topics[0].Partitions {
		out[p.Partition] = p.Offset
	}
	return out
}

// TestNobodyLagsByAHole: until the first record behind it the log ends where its records do, and
// afterwards who has read them all stands behind the hole. A gateway that was started since asks
// the home which it is.
func TestNobodyLagsByAHole(t *testing.T) {
	for _, version := range []int16{5, 9} {
		o, asked := without(t, [2]int64{there, there + 3})
		if got, want := positionsOf(t, o, version, [2]int64{lastRead, lastRead}), [2]int64{lastRead, behind}; got != want {
			t.Errorf("version %d: committed %v, want %v", version, got, want)
		}
		if got := list(t, o, "dr", 7, 0, -1, marks{high: there}); got != lastRead {
			t.Errorf("the log ends at %d", got)
		}
		if *asked != 2 { // partitions are led by two nodes
			t.Errorf("the home was asked %d times", *asked)
		}
		for _, at := range [][2]int64{{40, 41}, {-1, lastRead - 1}, {behind + 1, behind + 2}} {
			if got := positionsOf(t, o, version, at); got != at {
				t.Errorf("version %d: committed %v became %v", version, at, got)
			}
		}
		if *asked != 2 {
			t.Errorf("the home was asked %d times about positions that stand in no hole", *asked)
		}
	}
}

// TestEndsInFrontOfAHole, as each API says them: in front of it until the first record, behind it
// from then on, never below what was shown.
func TestEndsInFrontOfAHole(t *testing.T) {
	empty, one := marks{high: there, stable: there, start: there}, marks{high: there + 1, stable: there + 1, start: there}
	o, _ := without(t, [2]int64{there, there})
	if got, want := fetchMarks(t, o, "dr", empty), (marks{lastRead, lastRead, lastRead}); got != want {
		t.Errorf("Fetch says %+v of the empty log, want %+v", got, want)
	}
	for _, c := range []struct {
		timestamp int64
		isolation int8
	}{{-1, 0}, {-1, 1}, {-2, 0}} {
		if got := list(t, o, "dr", 7, c.isolation, c.timestamp, empty); got != lastRead {
			t.Errorf("ListOffsets %d, isolation %d: %d", c.timestamp, c.isolation, got)
		}
	}
	if got := list(t, o, "dr", 0, 0, -1, empty); got != lastRead {
		t.Errorf("ListOffsets version 0: %d", got)
	}
	if got, want := fetchMarks(t, o, "dr", one), (marks{behind + 1, behind + 1, behind}); got != want {
		t.Errorf("Fetch says %+v of the first record, want %+v", got, want)
	}
	if got := list(t, o, "dr", 7, 0, -2, one); got != behind {
		t.Errorf("the log starts at %d", got)
	}
	if got := positionsOf(t, o, 9, [2]int64{lastRead, 0}); got[0] != behind {
		t.Errorf("committed %d", got[0])
	}
}

// TestWhatTheOldHomeHasShownIsTheEnd: records that the copy lacks were read, so the log does not
// end before them, and who has read them lags by nothing, nor does who has read what is left.
func TestWhatTheOldHomeHasShownIsTheEnd(t *testing.T) {
	o, _ := build(t, false)
	fetchMarks(t, o, "prod", marks{high: lost, stable: lost})
	if err := o.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Home, n.Generation, n.Published, n.HomeID = "dr", 1, 1, plugintest.ID("dr", "orders")
		n.Partitions[0] = n.Partitions[0].Advance(catalog.Segment{Generation: 1, Start: behind, PhysicalStart: there, Cluster: "dr"}, n.Partitions[0].Distance.Shift(there-lastRead), lastRead, 3)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, o, "dr", 7, 0, -1, marks{high: there}); got != lost {
		t.Errorf("the log ends at %d", got)
	}
	for _, at := range []int64{lastRead, lost - 1, lost} {
		if got := positionsOf(t, o, 9, [2]int64{at, 0}); got[0] != lost {
			t.Errorf("committed %d is shown as %d", at, got[0])
		}
	}
}

// TestAHomeThatDoesNotAnswer leaves positions where the records end; each leader is asked once for
// all partitions.
func TestAHomeThatDoesNotAnswer(t *testing.T) {
	o, _ := without(t, [2]int64{there, there})
	var sent []int
	o.env.Cluster("dr").(*plugintest.Cluster).Answer = func(_ int32, req kmsg.Request) (kmsg.Response, error) {
		for _, rt := range req.(*kmsg.ListOffsetsRequest).Topics {
			sent = append(sent, len(rt.Partitions))
		}
		return nil, plugin.ErrUnreachable
	}
	if got, want := positionsOf(t, o, 9, [2]int64{lastRead, lastRead + 1}), [2]int64{lastRead, lastRead}; got != want {
		t.Errorf("committed %v, want %v", got, want)
	}
	if !slices.Equal(sent, []int{1, 1}) {
		t.Errorf("asked about %v partitions", sent)
	}
}

// TestAPositionBehindAHoleHasNoEpoch: the one that was committed with it ends in front of the hole,
// where clients would be sent back to.
func TestAPositionBehindAHoleHasNoEpoch(t *testing.T) {
	o, _ := without(t, [2]int64{there + 3, there + 3})
	topic := o.env.Catalog.Topic("orders")
	for at, want := range map[int64]int32{lastRead: -1, lastRead - 1: 3} {
		offset, epoch := at, int32(3)
		o.settle(t.Context(), []committed{{topic, 0, &offset, &epoch}})
		if epoch != want {
			t.Errorf("%d is shown as %d of epoch %d, want %d", at, offset, epoch, want)
		}
	}
}
