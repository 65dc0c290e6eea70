package offsets

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

type acquiredRange = kmsg.ShareFetchResponseTopicPartitionAcquiredRecord

// count is how many records a home has.
func (h *home) count() (n int64) {
	for _, b := range kafka.Batches(h.log) {
		n = b.LastOffset() + 1
	}
	return n
}

// drawAcquired draws ranges of physical offsets, as a broker has a member acquire them.
func (h *home) drawAcquired(t *rapid.T) (ranges []acquiredRange, all []int64) {
	for at := rapid.Int64Range(0, 5).Draw(t, "from"); at < h.count(); {
		n := min(rapid.Int64Range(1, 7).Draw(t, "acquired"), h.count()-at)
		ranges = append(ranges, acquiredRange{FirstOffset: at, LastOffset: at + n - 1, DeliveryCount: int16(n)})
		for range n {
			all = append(all, at)
			at++
		}
		at += rapid.Int64Range(0, 3).Draw(t, "others have")
	}
	return ranges, all
}

// TestAMemberAcquiresWhatItSees: whatever the runs of the home are, a member of a share group is
// shown the records that clients see, at their virtual offsets, and what it acknowledges of them
// and what the gateway does is, together, all that it has acquired.
func TestAMemberAcquiresWhatItSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHome(t)
		ranges, all := h.drawAcquired(t)
		part := &catalog.Partition{Segments: []catalog.Segment{{}}, Distance: h.distance, LogStart: rapid.Int64Range(0, 6).Draw(t, "log start")}
		p := kmsg.ShareFetchResponseTopicPartition{Records: slices.Clone(h.log), AcquiredRecords: ranges}
		hidden, err := acquired(kafka.Bounds{}, part, &p)
		if err != nil {
			t.Fatal(err)
		}
		there := map[int64]string{}
		for _, b := range kafka.Batches(p.Records) {
			records, err := kafka.Records(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				there[r.Offset] = string(r.Value)
			}
		}
		var got, want []placed
		for _, a := range p.AcquiredRecords {
			for v := a.FirstOffset; v <= a.LastOffset; v++ {
				got = append(got, placed{v, there[v]})
			}
		}
		for _, s := range h.shown {
			if s.virtual >= part.LogStart && slices.Contains(all, h.distance.ToPhysical(s.virtual)) {
				want = append(want, s)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the member has %v, want %v", got, want)
		}

		var done []int64
		for _, r := range hidden {
			for at := r.first; at <= r.last; at++ {
				done = append(done, at)
			}
		}
		pieces := mostPieces
		topic := &catalog.Topic{Name: "orders", Generation: 1, Partitions: []catalog.Partition{*part}}
		for _, b := range physicalAcks(&pieces, topic, 0, drawAcks(t, p.AcquiredRecords)) {
			for i := range b.LastOffset - b.FirstOffset + 1 {
				at, kind := b.FirstOffset+i, b.AcknowledgeTypes[0]
				if len(b.AcknowledgeTypes) > 1 {
					kind = b.AcknowledgeTypes[i]
				}
				if v := h.distance.ToVirtual(at); at != nobodys && kind != kindOf(v) {
					t.Fatalf("offset %d is acknowledged with %d, want %d", v, kind, kindOf(v))
				}
				if at != nobodys {
					done = append(done, at)
				}
			}
		}
		slices.Sort(done)
		if !slices.Equal(done, all) {
			t.Fatalf("acknowledged is %v, acquired was %v", done, all)
		}
	})
}

// kindOf is how a member of the test acknowledges a record.
func kindOf(v int64) int8 { return int8(v%3) + 1 }

// drawAcks acknowledges what was acquired, in batches that reach over what was not.
func drawAcks(t *rapid.T, ranges []acquiredRange) (out []ackBatch) {
	for _, r := range ranges {
		for v := r.FirstOffset; v <= r.LastOffset; {
			last := rapid.Int64Range(v, r.LastOffset).Draw(t, "to")
			b := ackBatch{FirstOffset: v, LastOffset: last}
			for ; v <= last; v++ {
				b.AcknowledgeTypes = append(b.AcknowledgeTypes, kindOf(v))
			}
			if n := len(out); n > 0 && out[n-1].LastOffset == b.FirstOffset-1 && rapid.Bool().Draw(t, "joined") {
				out[n-1].LastOffset, out[n-1].AcknowledgeTypes = b.LastOffset, append(out[n-1].AcknowledgeTypes, b.AcknowledgeTypes...)
				continue
			}
			out = append(out, b)
		}
	}
	return out
}

// TestOneKindForABatch: a batch that says the same of all its records, over a hole and a skip.
func TestOneKindForABatch(t *testing.T) {
	d, err := catalog.DistanceOf(catalog.Run{Virtual: 0, Physical: 0, Records: 10}, catalog.Run{Virtual: 15, Physical: 12})
	if err != nil {
		t.Fatal(err)
	}
	topic := &catalog.Topic{Generation: 1, Partitions: []catalog.Partition{{Segments: []catalog.Segment{{}}, Distance: d}}}
	for name, c := range map[string]struct{ in, want []ackBatch }{
		"over both":    {[]ackBatch{{FirstOffset: 8, LastOffset: 16, AcknowledgeTypes: []int8{2}}}, []ackBatch{{FirstOffset: 8, LastOffset: 9, AcknowledgeTypes: []int8{2}}, {FirstOffset: 12, LastOffset: 13, AcknowledgeTypes: []int8{2}}}},
		"in the hole":  {[]ackBatch{{FirstOffset: 11, LastOffset: 12, AcknowledgeTypes: []int8{1}}}, []ackBatch{{FirstOffset: nobodys, LastOffset: nobodys, AcknowledgeTypes: []int8{0}}}},
		"upside down":  {[]ackBatch{{FirstOffset: 5, LastOffset: 4, AcknowledgeTypes: []int8{1}}}, []ackBatch{{FirstOffset: 5, LastOffset: 4, AcknowledgeTypes: []int8{1}}}},
		"below zero":   {[]ackBatch{{FirstOffset: -5, LastOffset: 4, AcknowledgeTypes: []int8{1}}}, []ackBatch{{FirstOffset: -5, LastOffset: 4, AcknowledgeTypes: []int8{1}}}},
		"too few":      {[]ackBatch{{FirstOffset: 20, LastOffset: 24, AcknowledgeTypes: []int8{1, 1}}}, []ackBatch{{FirstOffset: 20, LastOffset: 24, AcknowledgeTypes: []int8{1, 1}}}},
		"none at all":  {[]ackBatch{{FirstOffset: 20, LastOffset: 24}}, []ackBatch{{FirstOffset: 20, LastOffset: 24}}},
		"no batch":     {nil, nil},
		"one twice":    {[]ackBatch{{FirstOffset: 8, LastOffset: 16, AcknowledgeTypes: []int8{1}}, {FirstOffset: 16, LastOffset: 20, AcknowledgeTypes: []int8{1}}}, []ackBatch{{FirstOffset: 8, LastOffset: 16, AcknowledgeTypes: []int8{1}}, {FirstOffset: 16, LastOffset: 20, AcknowledgeTypes: []int8{1}}}},
		"a wide range": {[]ackBatch{{FirstOffset: 20, LastOffset: 1<<62 - 1, AcknowledgeTypes: []int8{1}}}, []ackBatch{{FirstOffset: 17, LastOffset: 1<<62 - 4, AcknowledgeTypes: []int8{1}}}},
	} {
		pieces := mostPieces
		got := physicalAcks(&pieces, topic, 0, c.in)
		same := func(a, b ackBatch) bool {
			return a.FirstOffset == b.FirstOffset && a.LastOffset == b.LastOffset && slices.Equal(a.AcknowledgeTypes, b.AcknowledgeTypes)
		}
		if !slices.EqualFunc(got, c.want, same) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestAcknowledgementsOverManyRuns are refused beyond what a member can have acquired.
func TestAcknowledgementsOverManyRuns(t *testing.T) {
	var runs []catalog.Run
	for i := range int64(100) {
		runs = append(runs, catalog.Run{Virtual: 2 * i, Physical: i, Records: 1})
	}
	d, err := catalog.DistanceOf(runs...)
	if err != nil {
		t.Fatal(err)
	}
	topic := &catalog.Topic{Generation: 1, Partitions: []catalog.Partition{{Segments: []catalog.Segment{{}}, Distance: d}}}
	pieces := 150
	for i, want := range []int{100, 1} {
		got := physicalAcks(&pieces, topic, 0, []ackBatch{{FirstOffset: 0, LastOffset: 198, AcknowledgeTypes: []int8{1}}})
		if len(got) != want {
			t.Errorf("time %d: %d batches, want %d", i, len(got), want)
		}
		if refused := got[0].FirstOffset == nobodys; refused != (i == 1) {
			t.Errorf("time %d: refused is %t", i, refused)
		}
	}
}

// drifted gives the home of the topic runs: physical 70 to 73 are skipped.
func drifted(t *testing.T, env plugin.Env) {
	t.Helper()
	d, err := catalog.DistanceOf(catalog.Run{Virtual: 30, Physical: 0, Records: 70}, catalog.Run{Virtual: 100, Physical: 74})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		for p := range n.Partitions {
			n.Partitions[p].Distance = d
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestWhatAMemberIsNotShownIsAcknowledged in its next ShareFetch, once, in order with its own; not
// when it only renews, and not by a session that begins.
func TestWhatAMemberIsNotShownIsAcknowledged(t *testing.T) {
	o, env := build(t, true)
	drifted(t, env)
	session := plugin.NewSession(t.Context(), 1, nil, nil)
	eight, err := kafka.NewBatch(make([]kafka.Record, 8))
	if err != nil {
		t.Fatal(err)
	}
	eight.SetBaseOffset(68)
	id := plugintest.ID("dr", "orders")
	ask := func(epoch int32, renew bool, acks ...ackBatch) (sent kmsg.ShareFetchRequest, out *kmsg.ShareFetchResponse) {
		group, member := "g", "m"
		m := kmsg.NewPtrShareFetchRequest()
		m.Version, m.GroupID, m.MemberID, m.ShareSessionEpoch, m.IsRenewAck = 2, &group, &member, epoch, renew
		m.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: []kmsg.ShareFetchRequestTopicPartition{{AcknowledgementBatches: acks}}}}
		req := plugintest.Request(t, m, "dr")
		req.Session = session
		resp, err := o.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			sent = *plugintest.Sent[*kmsg.ShareFetchRequest](t, f)
			r := kmsg.NewPtrShareFetchResponse()
			r.Version = 2
			p := kmsg.NewShareFetchResponseTopicPartition()
			p.Records = slices.Clone(eight)
			p.AcquiredRecords = []acquiredRange{{FirstOffset: 68, LastOffset: 75, DeliveryCount: 1}}
			if renew {
				p.Records, p.AcquiredRecords = nil, nil
			}
			r.Topics = []kmsg.ShareFetchResponseTopic{{TopicID: id, Partitions: []kmsg.ShareFetchResponseTopicPartition{p}}}
			return plugintest.Encode(r), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return sent, plugintest.Decode[*kmsg.ShareFetchResponse](t, resp)
	}
	_, out := ask(0, false)
	if got, want := out.Topics[0].Partitions[0].AcquiredRecords, []acquiredRange{{FirstOffset: 98, LastOffset: 99, DeliveryCount: 1}, {FirstOffset: 100, LastOffset: 101, DeliveryCount: 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("acquired %v, want %v", got, want)
	}
	sent, _ := ask(1, true, ackBatch{FirstOffset: 98, LastOffset: 98, AcknowledgeTypes: []int8{4}})
	if got := firsts(sent); !slices.Equal(got, []int64{68}) {
		t.Errorf("a renewal acknowledges %v, want 68 alone", got)
	}
	sent, _ = ask(2, false, ackBatch{FirstOffset: 98, LastOffset: 100, AcknowledgeTypes: []int8{1}})
	if got := firsts(sent); !slices.Equal(got, []int64{68, 70, 74}) {
		t.Errorf("acknowledged are ranges that begin at %v, want 68, 70 (the gateway's) and 74", got)
	}
	sent, _ = ask(0, false)
	if got := firsts(sent); len(got) != 0 {
		t.Errorf("a session that begins acknowledges %v", got)
	}
}

func firsts(m kmsg.ShareFetchRequest) (out []int64) {
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			for _, b := range p.AcknowledgementBatches {
				out = append(out, b.FirstOffset)
			}
		}
	}
	return out
}

// TestShareAnswersForOthers: nothing is kept of partitions that a topic does not have, however many
// a broker that can't be believed answers for.
func TestShareAnswersForOthers(t *testing.T) {
	o, env := build(t, false)
	m := kmsg.NewPtrShareFetchResponse()
	rt := kmsg.NewShareFetchResponseTopic()
	rt.TopicID = plugintest.ID("prod", "orders")
	for n := range int32(50) {
		p := kmsg.NewShareFetchResponseTopicPartition()
		p.Partition, p.Records = 1000*n, batch(7, -1, -1, -1, 3)
		rt.Partitions = append(rt.Partitions, p)
	}
	m.Topics = append(m.Topics, rt)
	before := len(env.Catalog.Topic("orders").Partitions)
	if err := o.shared(t.Context(), kafka.Bounds{}, env.Cluster("prod"), m, func(sharePartition, []offsetRange) {}); err != nil {
		t.Fatal(err)
	}
	if after := len(env.Catalog.Topic("orders").Partitions); after != before {
		t.Errorf("%d partitions are kept, before %d", after, before)
	}
	if shown := env.Catalog.Topic("orders").Watermarks(0).High; shown != 10 {
		t.Errorf("of the one that it has %d is shown, want 10", shown)
	}
}
