package differential

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/hostile"
)

// allTopics follows cursors through all topics, with a limit: what comes together is the same, page
// by page it is not, because the lists of some have more.
func (w *world) allTopics() {
	w.Helper()
	for _, limit := range []int32{1, 2, 3, 7, 2000} {
		var want []string
		for i, l := range w.lanes {
			var got []string
			var cursor *kmsg.DescribeTopicPartitionsRequestCursor
			for pages := 0; pages < 1000; pages++ {
				m := kmsg.NewPtrDescribeTopicPartitionsRequest()
				m.ResponsePartitionLimit, m.Cursor = limit, cursor
				outcome, resp, err := hostile.Ask(l.addr, kmsg.DescribeTopicPartitions, 0, hostile.Frame(m), patience)
				if err != nil || outcome != hostile.Answered {
					w.Fatalf("limit %d through %q: %s, %v", limit, l.name, outcome, err)
				}
				r := resp.(*kmsg.DescribeTopicPartitionsResponse)
				n := 0
				for _, t := range r.Topics {
					for _, p := range t.Partitions {
						n++
						if _, ok := shared[*t.Topic]; ok {
							got = append(got, fmt.Sprintf("%s/%d leader %d", *t.Topic, p.Partition, node(p.LeaderID)))
						}
					}
				}
				if n > int(limit) {
					w.Errorf("limit %d through %q: %d partitions", limit, l.name, n)
				}
				if r.NextCursor == nil {
					break
				}
				cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: r.NextCursor.Topic, Partition: r.NextCursor.Partition}
			}
			if i == 0 {
				want = got
			} else if !slices.Equal(got, want) {
				w.Errorf("limit %d through %q: %q, want %q", limit, l.name, got, want)
			}
		}
	}
}

// compare lists what two translated answers have that is not the same.
func compare(path string, a, b any, add func(path, a, b string)) {
	switch x := a.(type) {
	case list:
		y, _ := b.(list)
		for _, k := range union(x, y) {
			switch at := path + "[" + k + "]"; {
			case x[k] == nil:
				add(at, "missing", fmt.Sprint(y[k]))
			case y[k] == nil:
				add(at, fmt.Sprint(x[k]), "missing")
			default:
				compare(at, x[k], y[k], add)
			}
		}
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			add(path, fmt.Sprint(a), fmt.Sprint(b))
			return
		}
		for _, k := range union(x, y) {
			compare(strings.TrimPrefix(path+"."+k, "."), x[k], y[k], add)
		}
	default:
		if a != b {
			add(path, fmt.Sprint(a), fmt.Sprint(b))
		}
	}
}

func union(a, b map[string]any) (keys []string) {
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// TestAnswersAreKafkas: what differs from Kafka's own answers is on the list, and what is on the
// list differs.
func TestAnswersAreKafkas(t *testing.T) {
	seed, rounds := number("SLUICE_DIFFERENTIAL_SEED", 1), number("SLUICE_DIFFERENTIAL_ROUNDS", 3)
	t.Logf("to repeat this: SLUICE_DIFFERENTIAL_SEED=%d SLUICE_DIFFERENTIAL_ROUNDS=%d go test -run '^%s$' ./testing/differential", seed, rounds, t.Name())
	w := &world{T: t, lanes: build(t)}
	for _, e := range edges() {
		w.ask(e, patience)
	}
	for _, name := range slices.Sorted(maps.Keys(talks)) {
		w.talk(name, talks[name])
	}
	for _, changing := range []bool{false, true} {
		hostile.Offered(func(api kafka.API, version int16) {
			if changes(api.Key) != changing || api.Key == kmsg.AddPartitionsToTxn && version > 3 { // which brokers send each other
				return
			}
			for round := range rounds {
				w.ask(func(l *lane) kmsg.Request {
					return request(rand.New(rand.NewPCG(seed, uint64(api.Key)<<32|uint64(version)<<16|round)), l, api.Key, version)
				}, patience)
			}
		})
	}
	w.ask(noRecords, time.Second)
	w.allTopics()
	t.Logf("%d requests, each through %d lanes", w.asked, len(w.lanes))
	w.check()
}

// world is the lanes and what was found of them.
type world struct {
	*testing.T
	lanes []*lane
	asked int
	found []difference
}

// ask sends a request through every lane and compares the answers. What brokers have not answered
// in time they never answer.
func (w *world) ask(request edge, limit time.Duration) {
	w.Helper()
	w.asked++
	var want answer
	for i, l := range w.lanes {
		req := request(l)
		got, err := l.ask(req, limit)
		if err != nil {
			w.Errorf("%s v%d through %q: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), l.name, err)
			return
		}
		if i == 0 {
			want = got
			continue
		}
		w.compare(l, req, want, got)
	}
}

// compare notes what an answer has otherwise than Kafka's.
func (w *world) compare(l *lane, req kmsg.Request, want, got answer) {
	d := difference{lane: l.name, api: kmsg.NameForKey(req.Key()), version: req.GetVersion(), request: req}
	add := func(path, a, b string) {
		d.path, d.kafka, d.here = path, a, b
		w.found = append(w.found, d)
	}
	if want.outcome != got.outcome {
		add(whole, string(want.outcome), string(got.outcome))
		return
	}
	compare("", want.tree, got.tree, add)
}

// talk has a conversation through every lane and compares what is answered, turn by turn.
func (w *world) talk(name string, have talk) {
	w.Helper()
	var want []answer
	for i, l := range w.lanes {
		at := 0
		have(l, func(req kmsg.Request) kmsg.Response {
			got, err := l.ask(req, patience)
			if err != nil {
				w.Errorf("%s, %s v%d through %q: %v", name, kmsg.NameForKey(req.Key()), req.GetVersion(), l.name, err)
			}
			switch {
			case i == 0:
				want = append(want, got)
			case at < len(want):
				w.compare(l, req, want[at], got)
			}
			at++
			w.asked++
			return got.resp
		})
		if at != len(want) {
			w.Errorf("%s through %q ends after %d requests, direct after %d", name, l.name, at, len(want))
		}
	}
}

// check fails for differences that are not on the list, and for those on the list that there are
// not.
func (w *world) check() {
	w.Helper()
	t, all := w.T, w.found
	rows, err := listed("../../COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(maps.Keys(differences)); !slices.Equal(slices.Sorted(slices.Values(rows)), want) {
		t.Errorf("COMPATIBILITY.md lists %q, want %q", rows, want)
	}
	found := map[string]bool{}
	all = slices.DeleteFunc(all, func(d difference) bool {
		row, ok := onPurpose(d)
		found[row] = true
		return ok
	})
	for _, row := range rows {
		if !found[row] {
			t.Errorf("is no difference any more: %s", row)
		}
	}
	report(t, all)
}

// keys are what stands in brackets in a path.
var keys = regexp.MustCompile(`\[[^][]*\]`)

// report shows differences of a kind together.
func report(t *testing.T, all []difference) {
	t.Helper()
	kinds := map[string][]difference{}
	for _, d := range all {
		k := fmt.Sprintf("%s %s: %s is %s, and here %s", d.api, d.lane, keys.ReplaceAllString(d.path, ""), short(d.kafka, 60), short(d.here, 60))
		kinds[k] = append(kinds[k], d)
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		d := kinds[k][0]
		request, _ := json.Marshal(d.request)
		t.Errorf("%d times %s, as in version %d %s of %s", len(kinds[k]), k, d.version, d.path, short(string(request), 500))
	}
}

func short(s string, n int) string {
	if s = strings.ReplaceAll(s, strings.Repeat("x", 250), "x*250"); len(s) > n {
		return s[:n] + "..."
	}
	return s
}
