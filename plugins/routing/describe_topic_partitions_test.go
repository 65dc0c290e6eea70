package routing

import (
	"cmp"
	"context"
	"fmt"
	"github.com/sluice-gateway/sluice/core/kafka"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// pageable is a topic that homes describe.
type pageable struct {
	name, physical, home string
	partitions           int32
	gone                 bool // the catalog knows it, its home does not
}

// describeAs answers as a broker does that has these topics: in the order of their names there, at
// most so many partitions.
func describeAs(topics []pageable, m *kmsg.DescribeTopicPartitionsRequest, most int) *kmsg.DescribeTopicPartitionsResponse {
	out := m.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	list := slices.Clone(topics)
	slices.SortFunc(list, func(a, b pageable) int { return cmp.Compare(a.physical, b.physical) })
	from := ""
	if m.Cursor != nil {
		from = list[slices.IndexFunc(list, func(t pageable) bool { return t.name == m.Cursor.Topic })].physical
	}
	left := min(max(int(m.ResponsePartitionLimit), 1), most)
	for _, t := range list {
		if t.physical < from || len(m.Topics) > 0 && !slices.ContainsFunc(m.Topics, func(a kmsg.DescribeTopicPartitionsRequestTopic) bool { return a.Topic == t.name }) {
			continue
		}
		if left == 0 {
			out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: t.name}
			return out
		}
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic = &t.name
		if t.gone {
			if rt.ErrorCode = int16(kafka.UnknownTopicOrPartition); len(m.Topics) > 0 {
				out.Topics = append(out.Topics, rt)
			}
			continue
		}
		first := int32(0)
		if m.Cursor != nil && m.Cursor.Topic == t.name {
			first = m.Cursor.Partition
		}
		for n := first; n < t.partitions; n++ {
			if left == 0 {
				out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: t.name, Partition: n}
				out.Topics = append(out.Topics, rt)
				return out
			}
			left--
			p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
			p.Partition = n
			rt.Partitions = append(rt.Partitions, p)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// shownPage is what a client gets, as a text.
func shownPage(r *kmsg.DescribeTopicPartitionsResponse) (out []string) {
	for _, t := range r.Topics {
		if t.ErrorCode != 0 {
			out = append(out, fmt.Sprintf("%s: %d", *t.Topic, t.ErrorCode))
		}
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s/%d", *t.Topic, p.Partition))
		}
	}
	if r.NextCursor != nil {
		out = append(out, fmt.Sprintf("then %s/%d", r.NextCursor.Topic, r.NextCursor.Partition))
	}
	return out
}

// TestPagesAreThoseOfOneBroker: whichever cluster topics live on, whatever they are called and in
// whichever order they stand there, clients get the pages that one broker with all of them gives,
// from any cursor and with any limit; pages of homes that give less at once are followed.
func TestPagesAreThoseOfOneBroker(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		most := []int{1, 2, 5, 2000}[rng.IntN(4)]
		var topics []pageable
		homes := map[string]*plugintest.Cluster{}
		names := map[string][]string{}
		for i := range 1 + rng.IntN(7) {
			p := pageable{name: fmt.Sprintf("t%d", i), home: []string{"prod", "dr"}[rng.IntN(2)], partitions: 1 + rng.Int32N(6), gone: rng.IntN(6) == 0}
			if p.physical = p.name; rng.IntN(3) == 0 {
				p.physical = fmt.Sprintf("%c%d", 'a'+rune(rng.IntN(26)), i)
			}
			topics = append(topics, p)
			names[p.home] = append(names[p.home], p.physical)
		}
		for slot, name := range []string{"prod", "dr"} {
			homes[name] = plugintest.NewCluster(name, slot, 6, names[name]...)
		}
		env := plugintest.Env(t, homes["prod"], homes["dr"])
		r, err := New(t.Context(), env, plugintest.Section(t, `{default: prod}`))
		if err != nil {
			t.Fatal(err)
		}
		env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
			p := topics[slices.IndexFunc(topics, func(p pageable) bool { return p.name == topic })]
			return p.home, map[string]string{p.home: p.physical}, true
		})
		for _, p := range topics {
			if err := env.Catalog.Ensure(t.Context(), catalog.Seen{Name: p.name, Cluster: p.home, ID: plugintest.ID(p.home, p.physical), Partitions: int(p.partitions)}); err != nil {
				t.Fatal(err)
			}
		}
		brokers := plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			there := slices.DeleteFunc(slices.Clone(topics), func(p pageable) bool { return p.home != f.Target.Cluster })
			return plugintest.Encode(describeAs(there, plugintest.Sent[*kmsg.DescribeTopicPartitionsRequest](t, f), most)), nil
		})
		one := slices.Clone(topics) // a broker on which all have the names that clients know
		for i := range one {
			one[i].physical = one[i].name
		}
		for range 12 {
			m := kmsg.NewPtrDescribeTopicPartitionsRequest()
			m.ResponsePartitionLimit = []int32{-1, 0, 1, 2, 3, 7, 100}[rng.IntN(7)]
			for _, p := range topics {
				if rng.IntN(2) == 0 {
					m.Topics = append(m.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: p.name})
				}
			}
			for pages := 0; ; pages++ {
				want := shownPage(describeAs(one, m, 1<<30))
				resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), brokers)
				if err != nil {
					t.Fatal(err)
				}
				answer := plugintest.Decode[*kmsg.DescribeTopicPartitionsResponse](t, resp)
				if got := shownPage(answer); !slices.Equal(got, want) {
					t.Fatalf("seed %d, limit %d, cursor %+v of %+v\nin %+v:\n%q, want\n%q", seed, m.ResponsePartitionLimit, m.Cursor, m.Topics, topics, got, want)
				}
				if answer.NextCursor == nil {
					break
				}
				if pages > 100 {
					t.Fatal("pages without an end")
				}
				m.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: answer.NextCursor.Topic, Partition: answer.NextCursor.Partition}
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPagesThatAreWrong: a cursor that no page can have given is refused, one that does not move on
// ends the reading of a home.
func TestPagesThatAreWrong(t *testing.T) {
	r, _ := build(t, rulesYAML)
	ask := func(cursor *kmsg.DescribeTopicPartitionsRequestCursor, home plugin.HandlerFunc) (*kmsg.DescribeTopicPartitionsResponse, error) {
		m := kmsg.NewPtrDescribeTopicPartitionsRequest()
		m.Topics, m.Cursor, m.ResponsePartitionLimit = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "orders"}}, cursor, 10
		resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), home)
		if err != nil {
			return nil, err
		}
		return plugintest.Decode[*kmsg.DescribeTopicPartitionsResponse](t, resp), nil
	}
	for _, cursor := range []kmsg.DescribeTopicPartitionsRequestCursor{{Topic: "orders", Partition: -1}, {Topic: "another"}} {
		got, err := ask(&cursor, func(context.Context, *plugin.Request) (*plugin.Response, error) {
			t.Error("a cluster was asked")
			return nil, plugin.ErrUnreachable
		})
		if err != nil {
			t.Fatal(err)
		}
		if code := got.Topics[0].ErrorCode; kafka.Code(code) != kafka.InvalidRequest {
			t.Errorf("%+v: code %d", cursor, code)
		}
	}
	if _, err := ask(nil, func(context.Context, *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrDescribeTopicPartitionsResponse()
		out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: "orders", Partition: 1}
		return plugintest.Encode(out), nil
	}); err == nil {
		t.Error("a home whose pages have no end was believed")
	}
}
