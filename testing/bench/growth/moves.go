package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

// ofMoves answers what moves ask a cluster whose partitions are empty: nil to other requests.
func ofMoves(msg kmsg.Request) kmsg.Response {
	switch m := msg.(type) {
	case *kmsg.DescribeConfigsRequest:
		out := kmsg.NewPtrDescribeConfigsResponse()
		for _, r := range m.Resources {
			x := kmsg.NewDescribeConfigsResponseResource()
			x.ResourceType, x.ResourceName = r.ResourceType, r.ResourceName
			out.Resources = append(out.Resources, x)
		}
		return out
	case *kmsg.DescribeProducersRequest:
		out := kmsg.NewPtrDescribeProducersResponse()
		for _, t := range m.Topics {
			x := kmsg.NewDescribeProducersResponseTopic()
			x.Topic = t.Topic
			for _, p := range t.Partitions {
				y := kmsg.NewDescribeProducersResponseTopicPartition()
				y.Partition = p
				x.Partitions = append(x.Partitions, y)
			}
			out.Topics = append(out.Topics, x)
		}
		return out
	case *kmsg.ProduceRequest:
		out := kmsg.NewPtrProduceResponse()
		for _, t := range m.Topics {
			x := kmsg.NewProduceResponseTopic()
			x.Topic, x.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				y := kmsg.NewProduceResponseTopicPartition()
				y.Partition = p.Partition
				x.Partitions = append(x.Partitions, y)
			}
			out.Topics = append(out.Topics, x)
		}
		return out
	case *kmsg.ListGroupsRequest:
		return kmsg.NewPtrListGroupsResponse()
	}
	return nil
}

// failedOver is what it takes to move `default`: the half of the topics that live where it says.
type failedOver struct {
	topics    int
	wall, cpu time.Duration
	pause     time.Duration // the longest that clients of a topic are held
}

// failOver edits the file and waits until everything that lived on prod lives on dr.
func (g *gateway) failOver() (out failedOver, err error) {
	text, err := os.ReadFile(g.file)
	if err != nil {
		return out, err
	}
	began, was := time.Now(), used()
	if err := os.WriteFile(g.file, []byte(strings.Replace(string(text), "default: prod", "default: dr", 1)), 0o600); err != nil {
		return out, err
	}
	err = g.moved(&out)
	out.wall, out.cpu = time.Since(began), used()-was
	return out, err
}

// moved waits until no topic lives elsewhere than it should. What it asks for while there are
// moves costs little.
func (g *gateway) moved(out *failedOver) error {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var s admin.Status
		var elsewhere []admin.Topic
		var past []failover.Report
		if err := g.get("status", &s); err != nil {
			return err
		}
		if s.OpenMoves > 0 {
			continue
		}
		if err := g.get("moves?state=done", &past); err != nil {
			return err
		}
		if err := g.get("topics/vc?state=elsewhere&page=1", &elsewhere); err != nil {
			return err
		}
		if len(past) == 0 || len(elsewhere) > 0 {
			continue
		}
		out.topics = len(past)
		for _, m := range past {
			out.pause = max(out.pause, time.Duration(m.PauseMS)*time.Millisecond)
		}
		return nil
	}
	return errors.New("not all topics have moved after five minutes")
}

// get asks the admin API.
func (g *gateway) get(path string, into any) error {
	resp, err := http.Get("http://" + g.admin + admin.Prefix + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// each is the CPU for one topic.
func (f failedOver) each() time.Duration { return f.cpu / time.Duration(max(f.topics, 1)) }
