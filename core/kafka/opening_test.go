package kafka

import (
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestWhatResponsesBeginWith is what kmsg makes of them, in every version of every API that is
// passed on: of ApiVersions, which is answered here, and delegation tokens, which are not offered,
// the time stands at the end.
func TestWhatResponsesBeginWith(t *testing.T) {
	passed := func(a API) bool {
		switch a.Key {
		case kmsg.ApiVersions, kmsg.CreateDelegationToken, kmsg.RenewDelegationToken, kmsg.ExpireDelegationToken, kmsg.DescribeDelegationToken:
			return false
		}
		return true
	}
	for _, a := range APIs() {
		for v := range a.MaxVersion + 1 {
			msg := kmsg.ResponseForKey(int16(a.Key))
			msg.SetVersion(v)
			fields := reflect.ValueOf(msg).Elem()
			for name, value := range map[string]int64{"ThrottleMillis": 1500, "ErrorCode": 41} {
				if f := fields.FieldByName(name); f.IsValid() {
					f.SetInt(value)
				}
			}
			raw := msg.AppendTo(nil)
			again := kmsg.ResponseForKey(int16(a.Key)) // what the version has of it
			again.SetVersion(v)
			if err := again.ReadFrom(raw); err != nil {
				t.Fatal(err)
			}
			read := func(name string) int64 {
				if f := reflect.ValueOf(again).Elem().FieldByName(name); f.IsValid() {
					return f.Int()
				}
				return 0
			}
			b := NewResponseBody(a.Key, v, raw)
			if got, want := b.Throttled(), time.Duration(read("ThrottleMillis"))*time.Millisecond; got != want && passed(a) {
				t.Errorf("%s v%d: throttled for %s, want %s", a.Name, v, got, want)
			}
			if got, want := b.Outcome(), int16(read("ErrorCode")); got != Code(want) {
				t.Errorf("%s v%d: code %d, want %d", a.Name, v, got, want)
			}
		}
	}
}

// TestOutcomesOfParts are found where the whole has none, and nothing is decoded where a code of
// the whole says all.
func TestOutcomesOfParts(t *testing.T) {
	fetch := kmsg.NewPtrFetchResponse()
	fetch.SetVersion(12)
	p := kmsg.NewFetchResponseTopicPartition()
	p.ErrorCode = 3
	fetch.Topics = []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{p}}}
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.SetVersion(8)
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Partitions: []kmsg.OffsetCommitResponseTopicPartition{{ErrorCode: 12}}}}
	leave := kmsg.NewPtrLeaveGroupResponse()
	leave.SetVersion(5)
	leave.Members = []kmsg.LeaveGroupResponseMember{{ErrorCode: 25}}
	for want, msg := range map[int16]kmsg.Response{3: fetch, 12: commit, 25: leave} {
		b := NewResponseBody(kmsg.Key(msg.Key()), msg.GetVersion(), msg.AppendTo(nil))
		if got := b.Outcome(); got != Code(want) {
			t.Errorf("%T: %d", msg, got)
		}
	}
	beat := kmsg.NewPtrHeartbeatResponse()
	beat.SetVersion(4)
	b := NewResponseBody(kmsg.Heartbeat, 4, beat.AppendTo(nil))
	if n := testing.AllocsPerRun(10, func() { b.Outcome(); b.Throttled() }); n != 0 || b.msg != nil {
		t.Errorf("%v allocations for a heartbeat", n)
	}
	for _, raw := range [][]byte{nil, {0}, {0, 0, 0, 0, 1}} { // a body that is none says nothing
		if b := NewResponseBody(kmsg.Heartbeat, 4, raw); b.Outcome() != 0 || b.Throttled() != 0 {
			t.Errorf("%v: %d, %s", raw, b.Outcome(), b.Throttled())
		}
	}
}
