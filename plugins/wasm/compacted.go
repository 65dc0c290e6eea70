package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// On a compacted topic a null value deletes what was written before under its key. A record that a
// guest drops must not do that: so it is asked first what the topic does with old records.

const (
	askAgain   = 10 * time.Second // how long the answer holds
	mostTopics = 10_000           // answers that are kept
	askLimit   = 10 * time.Second // for the cluster's answer
)

var errNobodyToAsk = errors.New("there is no cluster to ask")

// compactions remembers which topics are compacted.
type compactions struct {
	mu sync.Mutex
	by map[string]compaction // by cluster and topic
}

type compaction struct {
	yes   bool
	until time.Time
}

// of reports whether a topic is compacted, and asks if it was not known of late.
func (c *compactions) of(key string, ask func() (bool, error)) (bool, error) {
	c.mu.Lock()
	known, ok := c.by[key]
	c.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.yes, nil
	}
	yes, err := ask()
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil || len(c.by) >= mostTopics {
		c.by = map[string]compaction{}
	}
	c.by[key] = compaction{yes, time.Now().Add(askAgain)}
	return yes, nil
}

// Compacted reports whether a topic is compacted where a request goes to.
func (w *Wasm) Compacted(ctx context.Context, cluster, topic string) (bool, error) {
	return w.compactions.of(cluster+"\x00"+topic, func() (bool, error) {
		if w.below == nil {
			return false, errNobodyToAsk
		}
		return w.askCompacted(ctx, cluster, topic)
	})
}

func (w *Wasm) askCompacted(ctx context.Context, cluster, topic string) (bool, error) {
	const policy = "cleanup.policy"
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	m := kmsg.NewPtrDescribeConfigsRequest()
	m.SetVersion(1)
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{policy}
	m.Resources = append(m.Resources, r)
	req := host.OwnRequest(kafka.RequestBodyOf(m), w.own, w.Guest().Name)
	req.Target.Cluster = cluster
	resp, err := plugin.Protect(ctx, req, w.below(kmsg.DescribeConfigs))
	if err != nil {
		return false, err
	}
	if resp.Release != nil {
		defer resp.Release()
	}
	answer, err := resp.Body.Peek()
	if err != nil {
		return false, err
	}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		if r.ErrorCode != 0 {
			return false, errors.New(kafka.Code(r.ErrorCode).Name())
		}
		for _, c := range r.Configs {
			if c.Name == policy && c.Value != nil {
				return strings.Contains(*c.Value, "compact"), nil
			}
		}
	}
	return false, fmt.Errorf("no answer about %s", topic)
}
