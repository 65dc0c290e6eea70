package copies

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sort"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// feed is a cluster that answers fetches with as many bytes as they ask for, without a copy.
type feed struct {
	*fakes.Cluster
	log   []byte
	first []int64 // offsets of batches
	at    []int   // where they stand in the log
	end   int64
}

func newFeed(c *fakes.Cluster, l *fakes.Log) *feed {
	f := &feed{Cluster: c, end: l.End}
	for _, b := range l.Batches {
		f.first, f.at = append(f.first, b.Raw.BaseOffset()), append(f.at, len(f.log))
		f.log = append(f.log, b.Raw...)
	}
	return f
}

func (f *feed) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	m, ok := req.(*kmsg.FetchRequest)
	if !ok {
		return f.Cluster.Do(ctx, node, req)
	}
	from := m.Topics[0].Partitions[0].FetchOffset
	i := max(sort.Search(len(f.first), func(i int) bool { return f.first[i] > from })-1, 0)
	to := min(f.at[i]+joint.ReadBytes, len(f.log))
	resp := kmsg.NewPtrFetchResponse()
	t, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	t.TopicID = m.Topics[0].TopicID
	p.HighWatermark, p.LastStableOffset, p.RecordBatches = f.end, f.end, f.log[f.at[i]:to:to]
	t.Partitions = append(t.Partitions, p)
	resp.Topics = append(resp.Topics, t)
	return resp, nil
}

// BenchmarkAlign reads, decodes and compares all records of a home and a copy of which every
// transaction has a marker behind it, on one core: MB/s are those of the batches on both sides.
func BenchmarkAlign(b *testing.B) {
	for _, c := range []struct {
		name    string
		size    int
		headers int
		codec   kgo.CompressionCodec
		packed  bool
	}{
		{"1KB", 1000, 0, kgo.NoCompression(), false},
		{"1KB-headers", 1000, 3, kgo.NoCompression(), false},
		{"100B", 100, 0, kgo.NoCompression(), false},
		{"1KB-lz4", 1000, 0, kgo.Lz4Compression(), true},
		{"1KB-zstd", 1000, 0, kgo.ZstdCompression(), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			prod, dr, ours, theirs := fakes.Pair()
			records := (32 << 20) / (c.size + 40)
			value := bytes.Repeat([]byte("text like what records have, "), c.size/29+1)
			for at := 0; at < records; {
				var list []kafka.Record
				for ; len(list) < 256 && at < records; at++ {
					r := kafka.Record{Timestamp: int64(1_700_000_000_000 + at), Key: fmt.Appendf(nil, "key-%d", at), Value: append(fmt.Appendf(nil, "%d", at), value[:c.size]...)}
					for h := range c.headers {
						r.Headers = append(r.Headers, kmsg.Header{Key: fmt.Sprint("header-", h), Value: []byte("some value")})
					}
					list = append(list, r)
				}
				ours.Batch(fakes.Shape{Codec: c.codec, Packed: c.packed}, list...)
				theirs.Batch(fakes.Shape{Codec: c.codec, Packed: c.packed, InOne: true, Producer: 9}, list...)
				fakes.Marker(theirs)
			}
			x, y := newFeed(prod, ours), newFeed(dr, theirs)
			p := Pair{Prints: kafka.NewFingerprints(true, nil)}
			var err error
			if p.Home, err = NewSide(x, "orders"); err != nil {
				b.Fatal(err)
			}
			if p.Copy, err = NewSide(y, "orders"); err != nil {
				b.Fatal(err)
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			b.SetBytes(int64(len(x.log) + len(y.log)))
			b.ReportAllocs()
			for b.Loop() {
				a, err := p.Align(b.Context(), 0, Stretch{0, ours.End}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true, Complete: true})
				if err != nil || a.Left > 0 {
					b.Fatal(a.Left, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*records), "ns/record")
		})
	}
}
