package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// random fills a message with random content: several elements, nulls, tagged fields.
func random(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Type().Field(i).IsExported() && name != "UnknownTags" && name != "Version" {
				random(r, v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if r.IntN(6) == 0 {
			return
		}
		s := reflect.MakeSlice(v.Type(), r.IntN(4), 4)
		for i := range s.Len() {
			random(r, s.Index(i), depth+1)
		}
		v.Set(s)
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			p := reflect.New(v.Type().Elem())
			random(r, p.Elem(), depth+1)
			v.Set(p)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("t", r.IntN(1000)))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64N(100))
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Array:
		for i := range v.Len() {
			random(r, v.Index(i), depth+1)
		}
	}
}

// TestViewsSayWhatKmsgSays for every version of Produce and Fetch, requests and responses.
func TestViewsSayWhatKmsgSays(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
		api, _ := Lookup(key)
		for version := range api.MaxVersion + 1 {
			for range 100 {
				req, resp := kmsg.RequestForKey(int16(key)), kmsg.ResponseForKey(int16(key))
				random(r, reflect.ValueOf(req).Elem(), 0)
				random(r, reflect.ValueOf(resp).Elem(), 0)
				req.SetVersion(version)
				resp.SetVersion(version)
				a := NewRequestBody(key, version, req.AppendTo(nil))
				b := NewResponseBody(key, version, resp.AppendTo(nil))
				ha, hb := a.View(), b.View()
				if ha == nil || hb == nil {
					t.Fatalf("%s version %d: no view", api.Name, version)
				}
				qa, err := a.Peek()
				if err != nil {
					t.Fatal(err)
				}
				qb, err := b.Peek()
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprint(flatView(ha)), fmt.Sprint(flatRequest(qa)); got != want {
					t.Fatalf("%s request version %d:\n%s\n%s", api.Name, version, got, want)
				}
				if got, want := fmt.Sprint(flatResponseView(hb)), fmt.Sprint(flatResponse(qb)); got != want {
					t.Fatalf("%s response version %d:\n%s\n%s", api.Name, version, got, want)
				}
			}
		}
	}
}

func flatView(h *RequestView) (out []any) {
	out = append(out, h.Acks, h.Transactional, h.MaxWaitMillis, h.SessionID, h.SessionEpoch, h.Forgets)
	for _, p := range h.Partitions {
		out = append(out, string(p.Topic), p.ID, p.Partition, p.CurrentLeaderEpoch, p.Offset, string(p.Records))
	}
	return out
}

func flatRequest(m kmsg.Request) (out []any) {
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		out = append(out, m.Acks, m.TransactionID != nil, int32(0), int32(0), int32(0), false)
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, t.Topic, t.TopicID, p.Partition, int32(-1), int64(0), string(p.Records))
			}
		}
	case *kmsg.FetchRequest:
		epoch := m.SessionEpoch
		if m.Version < 7 {
			epoch = -1
		}
		out = append(out, int16(0), false, m.MaxWaitMillis, m.SessionID, epoch, len(m.ForgottenTopics) > 0)
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, t.Topic, t.TopicID, p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, "")
			}
		}
	}
	return out
}

func flatResponseView(h *ResponseView) (out []any) {
	out = append(out, h.ErrorCode, h.SessionID, endpointsText(h.Endpoints))
	for _, p := range h.Partitions {
		out = append(out, string(p.Topic), p.ID, p.Partition, p.ErrorCode, p.BaseOffset, p.HighWatermark, p.LastStableOffset, p.LogStartOffset, string(p.Records))
		out = append(out, p.LeaderID, p.LeaderEpoch, p.PreferredReadReplica)
	}
	return out
}

func flatResponse(m kmsg.Response) (out []any) {
	switch m := m.(type) {
	case *kmsg.ProduceResponse:
		out = append(out, int16(0), int32(0), endpointsText(endpointsOf(m)))
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, t.Topic, t.TopicID, p.Partition, p.ErrorCode, p.BaseOffset, int64(-1), int64(-1), p.LogStartOffset, "")
				out = append(out, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch, -1)
			}
		}
	case *kmsg.FetchResponse:
		out = append(out, m.ErrorCode, m.SessionID, endpointsText(endpointsOf(m)))
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, t.Topic, t.TopicID, p.Partition, p.ErrorCode, int64(-1), p.HighWatermark, p.LastStableOffset, p.LogStartOffset, string(p.RecordBatches))
				out = append(out, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch, p.PreferredReadReplica)
			}
		}
	}
	return out
}

func endpointsText(list []Endpoint) (out []string) {
	for _, e := range list {
		rack := "none"
		if e.Rack != nil {
			rack = "rack " + *e.Rack
		}
		out = append(out, fmt.Sprint(e.ID, e.Host, e.Port, rack))
	}
	return out
}

// TestMarksArePatchedInPlace: the bytes say what kmsg would have encoded.
func TestMarksArePatchedInPlace(t *testing.T) {
	for version := range int16(19) {
		m := kmsg.NewPtrFetchResponse()
		m.SetVersion(version)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = "t"
		for range 2 {
			p := kmsg.NewFetchResponseTopicPartition()
			p.RecordBatches = []byte("records")
			rt.Partitions = append(rt.Partitions, p)
		}
		m.Topics = append(m.Topics, rt)
		b := NewResponseBody(kmsg.Fetch, version, m.AppendTo(nil))
		b.View().SetMarks(1, 70, 60, 50)
		p := &m.Topics[0].Partitions[1]
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 70, 60, 50
		if got, want := out(b.AppendTo), m.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("version %d:\n%x\n%x", version, got, want)
		}
	}
}

func TestOnePartitionIsViewedWithoutAllocations(t *testing.T) {
	raw := filled(kmsg.Produce, 9).AppendTo(nil)
	var b RequestBody
	if n := testing.AllocsPerRun(100, func() {
		b.Reset(kmsg.Produce, 9, raw)
		if h := b.View(); h == nil || len(h.Partitions) != 1 {
			t.Fatal("no view")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzViews: views of any bytes never panic, and agree with kmsg on how many partitions there are.
func FuzzViews(f *testing.F) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
		api, _ := Lookup(key)
		for v := range api.MaxVersion + 1 {
			f.Add(key == kmsg.Fetch, v, filled(key, v).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, fetch bool, version int16, raw []byte) {
		key := kmsg.Produce
		if fetch {
			key = kmsg.Fetch
		}
		if api, _ := Lookup(key); version < 0 || version > api.MaxVersion {
			return
		}
		a, b := NewRequestBody(key, version, raw), NewResponseBody(key, version, raw)
		h := a.View()
		b.View()
		if _, _, err := check(key, version, true, raw); err == nil && !a.sound {
			t.Fatal("a request has no view")
		}
		if _, _, err := check(key, version, false, raw); err == nil && !b.sound {
			t.Fatal("an answer has no view")
		}
		if msg, err := a.Peek(); a.sound && err == nil {
			if got, want := fmt.Sprint(flatView(h)), fmt.Sprint(flatRequest(msg)); got != want {
				t.Fatalf("%s\n%s", got, want)
			}
		}
	})
}

// TestPatchesEqualAnEdit by kmsg, in every version, also patches upon patches and of a large batch.
func TestPatchesEqualAnEdit(t *testing.T) {
	id := [16]byte{9, 9}
	for version := range int16(19) {
		m := kmsg.NewPtrFetchRequest()
		m.SetVersion(version)
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = "t", [16]byte{1}
		rt.Partitions = append(rt.Partitions, kmsg.NewFetchRequestTopicPartition(), kmsg.NewFetchRequestTopicPartition())
		m.Topics = append(m.Topics, rt)
		raw := m.AppendTo(nil)
		b := NewRequestBody(kmsg.Fetch, version, raw)
		b.View()
		first := b.Change()
		first.SetPosition(1, 77, 6)
		c := first.Change()
		c.SetID(0, id)
		c.SetID(1, id)
		c.SetPosition(1, 78, 7)
		m.Topics[0].TopicID = id
		p := &m.Topics[0].Partitions[1]
		p.FetchOffset, p.CurrentLeaderEpoch, p.LastFetchedEpoch = 78, 7, -1
		if got, want := out(c.AppendTo), m.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("Fetch version %d:\n%x\n%x", version, got, want)
		}
		if msg, err := c.Peek(); err != nil || !bytes.Equal(msg.AppendTo(nil), m.AppendTo(nil)) {
			t.Errorf("Fetch version %d: decoded without its patches: %v", version, err)
		}
		if !bytes.Equal(out(b.AppendTo), raw) {
			t.Errorf("Fetch version %d: the original was changed", version)
		}
	}
	for version := range int16(14) {
		for _, size := range []int{100, 20_000} {
			m := kmsg.NewPtrProduceRequest()
			m.SetVersion(version)
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic, rt.TopicID = "t", [16]byte{1}
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Records = append(batchOf(size), batchOf(200)...)
			rt.Partitions = append(rt.Partitions, rp)
			m.Topics = append(m.Topics, rt)
			b := NewRequestBody(kmsg.Produce, version, m.AppendTo(nil))
			b.View()
			c := b.Change()
			c.SetID(0, id)
			c.SetProducers(0, func(Batch) int64 { return 1 << 62 })
			m.Topics[0].TopicID = id
			want := bytes.Clone(rp.Records)
			for _, x := range Batches(want) {
				x.SetProducerID(1 << 62)
				if !x.ValidCRC() {
					t.Error("wrong CRC")
				}
			}
			m.Topics[0].Partitions[0].Records = want
			if got, want := out(c.AppendTo), m.AppendTo(nil); !bytes.Equal(got, want) {
				t.Errorf("Produce version %d, %d bytes: not what kmsg encodes", version, size)
			}
		}
	}
}

// names are topics' names of which the second is in place of the first: shorter, longer, and long
// enough for another prefix.
var names = [][2]string{{"orders", "o"}, {"o", "team.orders"}, {"orders", strings.Repeat("x", 200)}, {"same", "same"}}

// TestNamesOfOtherWidths: a request with other names is what kmsg encodes, in every version that
// has names, beside other changes; the original stays, and may be changed again.
func TestNamesOfOtherWidths(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
		for version := range int16(13) {
			for _, n := range names {
				message := func(first, second string, at int64) []byte {
					topics := []string{first, second}
					if key == kmsg.Produce {
						m := kmsg.NewPtrProduceRequest()
						m.SetVersion(version)
						for _, name := range topics {
							rt := kmsg.NewProduceRequestTopic()
							rt.Topic = name
							for range 2 {
								rp := kmsg.NewProduceRequestTopicPartition()
								rp.Records = batchOf(20_000)
								rt.Partitions = append(rt.Partitions, rp)
							}
							m.Topics = append(m.Topics, rt)
						}
						return m.AppendTo(nil)
					}
					m := kmsg.NewPtrFetchRequest()
					m.SetVersion(version)
					for _, name := range topics {
						rt := kmsg.NewFetchRequestTopic()
						rt.Topic = name
						rt.Partitions = append(rt.Partitions, kmsg.NewFetchRequestTopicPartition(), kmsg.NewFetchRequestTopicPartition())
						m.Topics = append(m.Topics, rt)
					}
					m.Topics[1].Partitions[1].FetchOffset = at
					m.Topics[1].Partitions[1].LastFetchedEpoch = -1
					return m.AppendTo(nil)
				}
				raw := message(n[0], "second", 0)
				b := NewRequestBody(key, version, raw)
				if b.View() == nil {
					t.Fatalf("%d version %d has no view", key, version)
				}
				first := b.Change()
				first.SetTopic(0, "for a moment")
				c := first.Change()
				c.SetTopic(2, "2")
				c.SetTopic(1, n[1])
				want := message(n[1], "2", 77)
				if key == kmsg.Fetch {
					c.SetPosition(3, 77, -1)
				}
				if got := out(c.AppendTo); !bytes.Equal(got, want) {
					t.Errorf("%d version %d, %s for %s: not what kmsg encodes", key, version, n[1], n[0])
				}
				if got := c.Bytes(); !bytes.Equal(got, want) {
					t.Errorf("%d version %d, %s for %s: in one piece it is something else", key, version, n[1], n[0])
				}
				if got := string(c.View().Partitions[1].Topic); got != n[1] {
					t.Errorf("%d version %d: the view says %q, want %q", key, version, got, n[1])
				}
				if !bytes.Equal(out(b.AppendTo), raw) {
					t.Errorf("%d version %d: the original was changed", key, version)
				}
			}
		}
	}
}

// TestNamesOfOtherWidthsInAnswers is the same for answers, also of those of which partitions are
// left out.
func TestNamesOfOtherWidthsInAnswers(t *testing.T) {
	for version := range int16(13) {
		for _, n := range names {
			produced := func(first, second string) *kmsg.ProduceResponse {
				m := kmsg.NewPtrProduceResponse()
				m.SetVersion(version)
				for _, name := range []string{first, second} {
					rt := kmsg.NewProduceResponseTopic()
					rt.Topic = name
					rt.Partitions = append(rt.Partitions, kmsg.NewProduceResponseTopicPartition(), kmsg.NewProduceResponseTopicPartition())
					m.Topics = append(m.Topics, rt)
				}
				return m
			}
			fetched := func(first, second string, partitions int) *kmsg.FetchResponse {
				m := kmsg.NewPtrFetchResponse()
				m.SetVersion(version)
				for _, name := range []string{first, second} {
					rt := kmsg.NewFetchResponseTopic()
					rt.Topic = name
					for i := range partitions {
						p := kmsg.NewFetchResponseTopicPartition()
						p.Partition, p.RecordBatches = int32(i), batchOf(20_000)
						rt.Partitions = append(rt.Partitions, p)
					}
					m.Topics = append(m.Topics, rt)
				}
				return m
			}
			b := NewResponseBody(kmsg.Produce, version, produced(n[0], "second").AppendTo(nil))
			if _, err := b.Peek(); err != nil { // somebody has looked at it before
				t.Fatal(err)
			}
			b.View().SetTopic(1, []byte(n[1]))
			b.View().SetTopic(2, []byte("2"))
			same(t, version, b, produced(n[1], "2").AppendTo(nil))
			f := NewResponseBody(kmsg.Fetch, version, fetched(n[0], "second", 2).AppendTo(nil))
			f.View().SetTopic(0, []byte(n[1]))
			f.View().SetTopic(3, []byte("2"))
			same(t, version, f, fetched(n[1], "2", 2).AppendTo(nil))
			if version < 7 {
				continue
			}
			f.retain(0, func(a *ResponsePartition) bool { return a.Partition == 0 })
			if got, want := out(f.AppendTo), fetched(n[1], "2", 1).AppendTo(nil); !bytes.Equal(got, want) {
				t.Errorf("version %d: with partitions left out it is not what kmsg encodes", version)
			}
		}
	}
}

// same compares an answer, however it is asked for.
func same(t *testing.T, version int16, b *ResponseBody, want []byte) {
	t.Helper()
	if got := out(b.AppendTo); !bytes.Equal(got, want) {
		t.Errorf("%d version %d: not what kmsg encodes", b.Key(), version)
	}
	if got := b.Bytes(); !bytes.Equal(got, want) {
		t.Errorf("%d version %d: in one piece it is something else", b.Key(), version)
	}
	m, err := b.Peek()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.AppendTo(nil); !bytes.Equal(got, want) {
		t.Errorf("%d version %d: decoded it is something else", b.Key(), version)
	}
}

// batchOf makes a batch of n bytes.
func batchOf(n int) []byte {
	b := make(Batch, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(n-12))
	b[16] = 2
	binary.BigEndian.PutUint64(b[43:], 5)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
