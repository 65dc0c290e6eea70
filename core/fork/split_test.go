package fork

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestSplitKeepsEveryPartitionOnce for every API that is split by partition.
func TestSplitKeepsEveryPartitionOnce(t *testing.T) {
	msg := kmsg.NewPtrListOffsetsRequest()
	msg.SetVersion(7)
	for _, topic := range []string{"a", "b"} {
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = topic
		for p := range int32(5) {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition = p
			rt.Partitions = append(rt.Partitions, rp)
		}
		msg.Topics = append(msg.Topics, rt)
	}
	keys, bodies, err := Split(kafka.RequestBodyOf(msg), func(p Part) int32 { return p.Partition % 2 })
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v %v", keys, err)
	}
	n := 0
	for i, b := range bodies {
		m, err := b.Peek()
		if err != nil {
			t.Fatal(err)
		}
		for _, rt := range m.(*kmsg.ListOffsetsRequest).Topics {
			for _, p := range rt.Partitions {
				n++
				if p.Partition%2 != keys[i] {
					t.Errorf("partition %d in part %d", p.Partition, keys[i])
				}
			}
		}
	}
	if n != 10 {
		t.Errorf("%d partitions", n)
	}
	if keys, bodies, _ := Split(bodies[0], func(Part) int { return 1 }); len(keys) != 1 || bodies[0] == nil {
		t.Error("one part")
	}
}

// TestAFailedForkKeepsTheMemory of its request from being used again: it may still be on its way
// out.
func TestAFailedForkKeepsTheMemory(t *testing.T) {
	for _, broken := range []error{nil, errors.New("broken")} {
		var forks []*plugin.Request
		var results []Result
		for _, topic := range []string{"a", "b"} {
			msg := kmsg.NewPtrListOffsetsRequest()
			msg.SetVersion(7)
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic, rt.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}
			msg.Topics = append(msg.Topics, rt)
			req := &plugin.Request{Body: kafka.RequestBodyOf(msg)}
			req.Key, req.Version = kmsg.ListOffsets, 7
			resp, err := plugin.Fail(req, 0, "")
			if err != nil {
				t.Fatal(err)
			}
			resp.Release = func() {}
			forks, results = append(forks, req), append(results, Result{Response: resp})
		}
		if broken != nil {
			results[1] = Result{Err: broken}
		}
		resp, err := Gather(forks, results)
		if err != nil || (resp.Release == nil) != (broken != nil) {
			t.Errorf("%v: released %t, %v", broken, resp.Release != nil, err)
		}
	}
}
