package offsets

import (
	"context"
	"fmt"
	"maps"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// marks are what a home says of partition 0 of orders: where the log ends, what of it is stable,
// where it starts.
type marks struct{ high, stable, start int64 }

// fetchMarks fetches from a home and returns what the client is shown.
func fetchMarks(t *testing.T, o *Offsets, cluster string, home marks) marks {
	t.Helper()
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(12)
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	ft.Topic, ft.Partitions = "orders", append(ft.Partitions, fp)
	m.Topics = append(m.Topics, ft)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, cluster), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrFetchResponse()
		out.SetVersion(12)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset, rp.RecordBatches = home.high, home.stable, home.start, []byte{}
		rt.Topic, rt.Partitions = "orders", append(rt.Partitions, rp)
		out.Topics = append(out.Topics, rt)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	rp := plugintest.Decode[*kmsg.FetchResponse](t, resp).Topics[0].Partitions[0]
	return marks{rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset}
}

// list asks for the offset of a timestamp; the home answers as a broker does.
func list(t *testing.T, o *Offsets, cluster string, version int16, isolation int8, timestamp int64, home marks) int64 {
	t.Helper()
	m := kmsg.NewPtrListOffsetsRequest()
	m.SetVersion(version)
	m.IsolationLevel = isolation
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = timestamp
	m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, cluster), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrListOffsetsResponse()
		out.SetVersion(version)
		rp := kmsg.NewListOffsetsResponseTopicPartition()
		switch sent := plugintest.Sent[*kmsg.ListOffsetsRequest](t, f); {
		case timestamp == -1 && sent.IsolationLevel == 1:
			rp.Offset = home.stable
		case timestamp == -1:
			rp.Offset = home.high
		case timestamp == -2, timestamp == -4:
			rp.Offset = home.start
		case timestamp == -5: // nothing is stored elsewhere
			rp.Offset = -1
		default:
			rp.Offset = home.high - 1
		}
		if version == 0 {
			rp.OldStyleOffsets = []int64{rp.Offset}
		}
		out.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsResponseTopicPartition{rp}}}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	rp := plugintest.Decode[*kmsg.ListOffsetsResponse](t, resp).Topics[0].Partitions[0]
	if version == 0 {
		return rp.OldStyleOffsets[0]
	}
	return rp.Offset
}

// TestEndsOfTheLog: what ListOffsets says is what the home says, in virtual offsets, for each
// isolation level; clients have been shown the same watermarks before.
func TestEndsOfTheLog(t *testing.T) {
	const beyond = 30 // what the home's offsets are behind the virtual ones after the move
	for _, moved := range []bool{false, true} {
		home, cluster, distance := marks{high: 90, stable: 80, start: 10}, "prod", int64(0)
		if moved {
			cluster, distance = "dr", beyond
		}
		want := map[int64][2]int64{-1: {90, 80}, -2: {10, 10}, -3: {89, 89}, -4: {10, 10}, -5: {-1, -1}, 1234: {89, 89}}
		for timestamp, of := range want {
			for isolation, offset := range of {
				t.Run(fmt.Sprintf("moved=%t timestamp %d isolation %d", moved, timestamp, isolation), func(t *testing.T) {
					o, _ := build(t, moved)
					fetchMarks(t, o, cluster, home)
					if offset >= 0 {
						offset += distance
					}
					if got := list(t, o, cluster, 7, int8(isolation), timestamp, home); got != offset {
						t.Errorf("%d, want %d", got, offset)
					}
				})
			}
		}
	}
}

// TestShownEndsNeverGoBack: a new leader may lag behind for a moment, in answers of either kind.
func TestShownEndsNeverGoBack(t *testing.T) {
	shown, behind := marks{high: 90, stable: 80, start: 10}, marks{high: 85, stable: 75, start: 5}
	o, _ := build(t, false)
	fetchMarks(t, o, "prod", shown)
	if got := fetchMarks(t, o, "prod", behind); got != shown {
		t.Errorf("Fetch says %+v, and has said %+v", got, shown)
	}
	for timestamp, of := range map[int64][2]int64{-1: {90, 80}, -2: {10, 10}, -4: {10, 10}} {
		for isolation, want := range of {
			if got := list(t, o, "prod", 7, int8(isolation), timestamp, behind); got != want {
				t.Errorf("timestamp %d, isolation %d: %d, want %d", timestamp, isolation, got, want)
			}
		}
	}
	if got := list(t, o, "prod", 0, 0, -1, behind); got != 90 {
		t.Errorf("version 0: %d, want 90", got)
	}
}

// TestAFetchThatNobodyCouldAnswer shows what was shown last; that a log is empty is no news either.
func TestAFetchThatNobodyCouldAnswer(t *testing.T) {
	nothing := marks{-1, -1, -1}
	for _, shown := range []marks{{high: 90, stable: 80, start: 10}, {}, nothing} {
		o, _ := build(t, false)
		fetchMarks(t, o, "prod", shown)
		if got := fetchMarks(t, o, "prod", nothing); got != shown {
			t.Errorf("%+v, want %+v", got, shown)
		}
	}
}

// TestListedEndsAreShown: what ListOffsets has said, Fetch does not go behind.
func TestListedEndsAreShown(t *testing.T) {
	o, _ := build(t, false)
	list(t, o, "prod", 7, 0, -1, marks{high: 90})
	list(t, o, "prod", 7, 1, -1, marks{stable: 80})
	list(t, o, "prod", 7, 0, -2, marks{start: 10})
	if got, want := fetchMarks(t, o, "prod", marks{high: 85, stable: 75, start: 5}), (marks{90, 80, 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestAnAnswerIsOfTheHomeThatWasAsked, if the topic moves meanwhile.
func TestAnAnswerIsOfTheHomeThatWasAsked(t *testing.T) {
	o, env := build(t, true)
	m := kmsg.NewPtrListOffsetsRequest()
	m.SetVersion(7)
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = 1234
	m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "dr"), plugin.HandlerFunc(func(ctx context.Context, _ *plugin.Request) (*plugin.Response, error) {
		moveBack(t, env)
		out := kmsg.NewPtrListOffsetsResponse()
		out.SetVersion(7)
		rp := kmsg.NewListOffsetsResponseTopicPartition()
		rp.Offset = 75
		out.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsResponseTopicPartition{rp}}}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := plugintest.Decode[*kmsg.ListOffsetsResponse](t, resp).Topics[0].Partitions[0].Offset; got != 105 {
		t.Errorf("offset %d, want 105", got)
	}
}

// moveBack moves orders to prod again.
func moveBack(t *testing.T, env plugin.Env) {
	t.Helper()
	if err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Home, n.Generation, n.Published, n.HomeID = "prod", 2, 2, plugintest.ID("prod", "orders")
		for p := range n.Partitions {
			n.Partitions[p] = n.Partitions[p].Advance(catalog.Segment{Generation: 2, Start: 110, PhysicalStart: 110, Cluster: "prod"}, n.Partitions[p].Distance.Shift(30), 110, 3)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestEpochsOfAMovedTopic: those that the home can't know are not shown to it, but for one that
// nobody can know yet.
func TestEpochsOfAMovedTopic(t *testing.T) {
	for epoch, want := range map[int32]int32{-1: -1, 3: -1, 99: -1, 1 << catalog.EpochBits: -1, 2 << catalog.EpochBits: math.MaxInt32} {
		o, _ := build(t, true)
		m := kmsg.NewPtrListOffsetsRequest()
		m.SetVersion(7)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.CurrentLeaderEpoch = epoch
		m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		if _, err := o.Intercept(t.Context(), plugintest.Request(t, m, "dr"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			if got := plugintest.Sent[*kmsg.ListOffsetsRequest](t, f).Topics[0].Partitions[0].CurrentLeaderEpoch; got != want {
				t.Errorf("epoch %d is asked with as %d, want %d", epoch, got, want)
			}
			return plugintest.Encode(m.ResponseKind()), nil
		})); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoPositionIsOutOfRange, after a move too.
func TestNoPositionIsOutOfRange(t *testing.T) {
	for _, moved := range []bool{false, true} {
		o, _ := build(t, moved)
		m := kmsg.NewPtrFetchRequest()
		m.SetVersion(12)
		ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		fp.FetchOffset = -1
		ft.Topic, ft.Partitions = "orders", append(ft.Partitions, fp)
		m.Topics = append(m.Topics, ft)
		if _, err := o.Intercept(t.Context(), plugintest.Request(t, m, map[bool]string{true: "dr", false: "prod"}[moved]), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			if got := plugintest.Sent[*kmsg.FetchRequest](t, f).Topics[0].Partitions[0].FetchOffset; got >= 0 && got < math.MaxInt64 {
				t.Errorf("moved=%t: fetched from %d", moved, got)
			}
			return plugintest.Encode(m.ResponseKind()), nil
		})); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndsOfEpochsThatAreNone: no epoch has no end, and what a partition is that there is not is
// said by the home.
func TestEndsOfEpochsThatAreNone(t *testing.T) {
	o, _ := build(t, true)
	m := kmsg.NewPtrOffsetForLeaderEpochRequest()
	m.SetVersion(4)
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = "orders"
	for _, n := range []int32{0, 7} {
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.CurrentLeaderEpoch = n, -1, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	m.Topics = append(m.Topics, topic)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "dr"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		sent := plugintest.Sent[*kmsg.OffsetForLeaderEpochRequest](t, f)
		out := sent.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = "orders"
		for _, p := range sent.Topics[0].Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, 3
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := map[int32]string{}
	for _, p := range plugintest.Decode[*kmsg.OffsetForLeaderEpochResponse](t, resp).Topics[0].Partitions {
		got[p.Partition] = fmt.Sprint(p.ErrorCode, " ", p.LeaderEpoch, " ", p.EndOffset)
	}
	if want := map[int32]string{0: "0 -1 -1", 7: "3 -1 -1"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
