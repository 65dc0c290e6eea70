package copies

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Settings are those of a topic by which a copy may take other records than its home, by Kafka's
// names.
type Settings map[string]string

// comparedSettings are their names.
var comparedSettings = []string{"max.message.bytes", "message.timestamp.type"}

const cleanupPolicy = "cleanup.policy"

var askedSettings = []string{"max.message.bytes", "message.timestamp.type", cleanupPolicy}

func (s Settings) compacts() bool { return strings.Contains(s[cleanupPolicy], "compact") }

// Differ says in what a copy has other settings than its home; what is not known on a side is no
// difference.
func (s Settings) Differ(copied Settings, home, other string) error {
	for _, k := range comparedSettings {
		if s[k] != copied[k] && s[k] != "" && copied[k] != "" {
			return fmt.Errorf("%s is %s on %s, but %s on %s", k, s[k], home, copied[k], other)
		}
	}
	return nil
}

// EverySetting asks for the settings of topics, as far as the cluster tells.
func EverySetting(ctx context.Context, c plugin.Cluster, topics []string) map[string]Settings {
	out := map[string]Settings{}
	var mu sync.Mutex
	inChunks(topics, func(some []string) {
		all, err := settingsOf(ctx, c, some)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			maps.Copy(out, all)
		}
	})
	return out
}

// namesAtOnce is how many topics one request names.
const namesAtOnce = 200

// inChunks does something for so many topics at a time as a request names, some side by side.
func inChunks(topics []string, do func(some []string)) {
	chunks := slices.Collect(slices.Chunk(topics, namesAtOnce))
	_ = guard.Parallel(len(chunks), AsksAtOnce, func(i int) error { do(chunks[i]); return nil })
}

func settingsOf(ctx context.Context, c plugin.Cluster, topics []string) (map[string]Settings, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, name, askedSettings
		req.Resources = append(req.Resources, r)
	}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	out := map[string]Settings{}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		s := Settings{}
		for _, x := range res.Configs {
			if x.Value != nil {
				s[x.Name] = *x.Value
			}
		}
		out[res.ResourceName] = s
	}
	return out, nil
}

// Alike is what both sides of a topic do with records.
type Alike struct {
	Timestamps                 bool // both keep the producer's
	HomeCompacts, CopyCompacts bool
}

// SameSettings refuses a copy that would not take what the old home takes.
func SameSettings(ctx context.Context, old, copied *Side) (out Alike, err error) {
	a, err := settingsOf(ctx, old.Cluster, []string{old.Name})
	if err != nil {
		return out, err
	}
	b, err := settingsOf(ctx, copied.Cluster, []string{copied.Name})
	if err != nil {
		return out, err
	}
	ours, theirs := a[old.Name], b[copied.Name]
	if err := ours.Differ(theirs, old.Cluster.Name(), copied.Cluster.Name()); err != nil {
		return out, err
	}
	return Alike{ours["message.timestamp.type"] != "LogAppendTime", ours.compacts(), theirs.compacts()}, nil
}
