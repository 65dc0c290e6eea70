// Package clients drives Kafka clients of several languages and records what they see: every
// acknowledgement, every delivery, every error. The report says what was lost, duplicated or
// reordered.
package clients

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Place is where a record stands in the (virtual) log.
type Place struct {
	Partition int32
	Offset    int64
}

// Recorder collects what clients see. Records have the value "producer-counter", the counter rising
// by one with each record of a producer.
type Recorder struct {
	mu        sync.Mutex
	acked     map[string]Place // offset -1: acknowledged without an offset
	delivered map[string][]delivery
	errors    []string
	last      map[string]time.Time
	pause     map[string]time.Duration
	resumed   map[string]time.Time // when that pause ended
	plain     map[string]bool      // producers without sequence numbers
	working   map[string]bool
	lost      []lost
	again     map[string]bool // consumers that may get records again
}

// lost are places that a move has reported as lost, and the consumers that had begun by then: they
// may have got records from there. Nobody else may.
type lost struct {
	partition int32
	from, to  int64 // both included
	had       map[string]bool
}

type delivery struct {
	id string
	at Place
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder {
	return &Recorder{acked: map[string]Place{}, delivered: map[string][]delivery{}, last: map[string]time.Time{}, pause: map[string]time.Duration{}, plain: map[string]bool{}, resumed: map[string]time.Time{}, working: map[string]bool{}, again: map[string]bool{}}
}

// MayRepeat says that a consumer is a member of a group that may get records again which it could
// not commit.
func (r *Recorder) MayRepeat(consumer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again[consumer] = true
}

func (r *Recorder) beat(who string) {
	now := time.Now()
	if l, ok := r.last[who]; ok {
		if d := now.Sub(l); d > r.pause[who] {
			r.pause[who], r.resumed[who] = d, now
		}
	}
	r.last[who] = now
}

// Acked notes an acknowledgement.
func (r *Recorder) Acked(producer, id string, at Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lostAt(at) == nil { // else the answer waited for other partitions until the move was made
		r.acked[id] = at
	}
	r.working["p:"+producer] = true
	r.beat("p:" + producer)
}

// Received notes a delivery.
func (r *Recorder) Received(consumer, id string, at Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lostAt(at); l != nil {
		if !l.had[consumer] {
			r.errors = append(r.errors, fmt.Sprintf("%s received %s at %v, which was lost", consumer, id, at))
		}
		return
	}
	r.delivered[consumer] = append(r.delivered[consumer], delivery{id, at})
	producer, _ := split(id)
	r.working["p:"+producer], r.working["c:"+consumer] = true, true
	r.beat("c:" + consumer)
}

// lostAt is what of the places that are lost a place is of.
func (r *Recorder) lostAt(at Place) *lost {
	for i, l := range r.lost {
		if at.Partition == l.partition && at.Offset >= l.from && at.Offset <= l.to {
			return &r.lost[i]
		}
	}
	return nil
}

// Lose forgets what was acknowledged and delivered at places that a move has reported as lost, and
// returns how many acknowledged records those were.
func (r *Recorder) Lose(partition int32, from, to int64) (acked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := func(p Place) bool { return p.Partition == partition && p.Offset >= from && p.Offset <= to }
	for id, at := range r.acked {
		if in(at) {
			delete(r.acked, id)
			acked++
		}
	}
	had := map[string]bool{}
	for consumer, list := range r.delivered {
		had[consumer] = true
		r.delivered[consumer] = slices.DeleteFunc(list, func(d delivery) bool { return in(d.at) })
	}
	r.lost = append(r.lost, lost{partition, from, to, had})
	return acked
}

// Any is one of the acknowledged records, at random; ok is false if there is none.
func (r *Recorder) Any() (id string, at Place, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, at := range r.acked { // in no order
		if at.Offset >= 0 {
			return id, at, true
		}
	}
	return "", Place{}, false
}

// AckedAt is the highest offset of a partition that was acknowledged, -1 if there is none.
func (r *Recorder) AckedAt(partition int32) (last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last = -1
	for _, at := range r.acked {
		if at.Partition == partition {
			last = max(last, at.Offset)
		}
	}
	return last
}

// Found notes what a consumer got that had asked for an acknowledged record at its place.
func (r *Recorder) Found(consumer, id string, at Place, got string, there Place) {
	if got == id && at == there {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lostAt(at) == nil {
		r.errors = append(r.errors, fmt.Sprintf("%s asked for %s at %v and got %s at %v", consumer, id, at, got, there))
	}
}

// Error notes an error that a client showed its user.
func (r *Recorder) Error(who, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, who+": "+fmt.Sprintf(format, args...))
}

// AckedCount is the number of records acknowledged so far.
func (r *Recorder) AckedCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked)
}

// Complete reports whether every consumer has received every acknowledged record.
func (r *Recorder) Complete() bool { return r.CompleteWith() }

// CompleteWith is Complete, and those with these names are among the consumers.
func (r *Recorder) CompleteWith(consumers ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range consumers {
		if len(r.delivered[name]) == 0 && len(r.acked) > 0 {
			return false
		}
	}
	for _, list := range r.delivered {
		got := map[string]bool{}
		for _, d := range list {
			got[d.id] = true
		}
		for id := range r.acked {
			if !got[id] {
				return false
			}
		}
	}
	return len(r.delivered) > 0
}

// Report is what happened.
type Report struct {
	Acked           int      `json:"acked"`
	Received        int      `json:"received"` // by the consumer that received least, without duplicates
	Lost            int      `json:"lost"`
	Duplicated      int      `json:"duplicated"`
	LogDuplicates   int      `json:"-"` // records that stand in the log twice: at two places
	Repeated        int      `json:"-"` // from the same place, to consumers that may get records again
	Reordered       int      `json:"reordered"`
	ClientErrors    int      `json:"client_errors"`
	ProducerPauseMS int64    `json:"producer_pause_ms"`
	ConsumerPauseMS int64    `json:"consumer_pause_ms"`
	Details         []string `json:"-"`
}

// Clean reports that nothing was lost, duplicated, reordered or shown as an error.
func (r Report) Clean() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0 && r.ClientErrors == 0
}

// Report judges what was collected. Every consumer must have received everything.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Report{Acked: len(r.acked), Received: -1, ClientErrors: len(r.errors)}
	note := func(format string, args ...any) {
		if len(out.Details) < 60 {
			out.Details = append(out.Details, fmt.Sprintf(format, args...))
		}
	}
	for _, e := range r.errors {
		note("error: %s", e)
	}
	for consumer, list := range r.delivered {
		count := map[string]int{}
		first := map[string]delivery{}
		at := map[Place]string{}
		next := map[string]int{}
		for _, d := range list {
			count[d.id]++
			if count[d.id] > 1 && r.again[consumer] && first[d.id].at == d.at {
				out.Repeated++
				continue
			}
			if count[d.id] > 1 {
				out.Duplicated++
				if first[d.id].at != d.at {
					out.LogDuplicates++
				}
				note("%s received %s %d times, at %v and %v", consumer, d.id, count[d.id], first[d.id].at, d.at)
				continue
			}
			first[d.id] = d
			if other, ok := at[d.at]; ok && other != d.id {
				out.Reordered++
				note("%s: offset %v names %s and %s", consumer, d.at, other, d.id)
			}
			at[d.at] = d.id
			producer, n := split(d.id)
			key := producer + "/" + strconv.Itoa(int(d.at.Partition))
			if n < next[key] {
				out.Reordered++
				note("%s received %s after a later one of its producer", consumer, d.id)
			}
			next[key] = n
			if a, ok := r.acked[d.id]; ok && a.Offset >= 0 && a != d.at {
				out.Reordered++
				note("%s was acknowledged at %v and delivered at %v", d.id, a, d.at)
			}
		}
		got := 0
		for id := range r.acked {
			if count[id] == 0 {
				out.Lost++
				note("%s never received %s, acknowledged at %v", consumer, id, r.acked[id])
			} else {
				got++
			}
		}
		if out.Received < 0 || got < out.Received {
			out.Received = got
		}
	}
	for who, p := range r.pause {
		if strings.HasPrefix(who, "p:") {
			out.ProducerPauseMS = max(out.ProducerPauseMS, p.Milliseconds())
		} else {
			out.ConsumerPauseMS = max(out.ConsumerPauseMS, p.Milliseconds())
		}
	}
	return out
}

// Working counts the producers of which a record has arrived and the consumers that have got one.
func (r *Recorder) Working() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.working)
}

// Pauses lists the longest pause of each client.
func (r *Recorder) Pauses() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for who, p := range r.pause {
		list = append(list, fmt.Sprintf("%s %s", who, p.Round(time.Millisecond)))
	}
	sort.Strings(list)
	return strings.Join(list, ", ")
}

// CaughtUp reports that every consumer has received something within the last second.
func (r *Recorder) CaughtUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for who, at := range r.last {
		if strings.HasPrefix(who, "c:") && time.Since(at) > time.Second {
			return false
		}
	}
	return true
}

// Longest returns the longest pause of each client since the last call, of consumers by "c:" and
// their name, of producers by "p:". One that lasts counts as long as it has lasted.
func (r *Recorder) Longest() map[string]time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.pause
	r.pause, r.resumed = map[string]time.Duration{}, map[string]time.Time{}
	for who, at := range r.last {
		out[who] = max(out[who], time.Since(at))
	}
	return out
}

// Resumed is when the longest pause of each client since the last call of Longest ended, by the
// names that Longest uses. Those that have had none are missing.
func (r *Recorder) Resumed() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.resumed)
}

func split(id string) (producer string, n int) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return id, 0
	}
	n, _ = strconv.Atoi(id[i+1:])
	return id[:i], n
}
