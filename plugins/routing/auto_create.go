package routing

import (
	"context"
	"github.com/sluice-gateway/sluice/core/kafka"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// autoCreate creates what a client asked for and nobody has. The answer says that the topic is
// unknown, as a broker's does: clients ask again, and it is there.
func (r *Routing) autoCreate(ctx context.Context, m *kmsg.MetadataResponse) {
	for _, t := range m.Topics {
		if kafka.Code(t.ErrorCode) != kafka.UnknownTopicOrPartition || t.Topic == nil {
			continue
		}
		home, _ := r.homeOf(*t.Topic, [16]byte{})
		c := r.env.Cluster(home)
		if c == nil {
			continue // hidden, or without a home
		}
		if on := r.rules.cfg.AutoCreate; on != nil && !*on || on == nil && !r.creators.creates(ctx, c) {
			continue
		}
		if err := r.Create(ctx, *t.Topic); err != nil {
			r.log.WarnContext(ctx, "auto-create failed", "topic", *t.Topic, "error", err)
		}
	}
}

// creators knows for a while which clusters create topics that clients ask for.
type creators struct {
	mu    sync.Mutex
	known map[string]creator
}

type creator struct {
	on bool
	at time.Time
}

const settingKept = 30 * time.Second

// creates asks a broker of a cluster for auto.create.topics.enable. One that can't be asked creates
// nothing.
func (s *creators) creates(ctx context.Context, c plugin.Cluster) bool {
	s.mu.Lock()
	k, ok := s.known[c.Name()]
	s.mu.Unlock()
	if ok && time.Since(k.at) < settingKept {
		return k.on
	}
	on, ok := askAutoCreate(ctx, c)
	if ok {
		s.mu.Lock()
		if s.known == nil {
			s.known = map[string]creator{}
		}
		s.known[c.Name()] = creator{on, time.Now()}
		s.mu.Unlock()
	}
	return on
}

func askAutoCreate(ctx context.Context, c plugin.Cluster) (on, ok bool) {
	const setting = "auto.create.topics.enable"
	brokers := c.Topology().Brokers
	if len(brokers) == 0 {
		return false, false
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(brokers[0].ID))
	res.ConfigNames = []string{setting}
	req.Resources = append(req.Resources, res)
	resp, err := c.Do(ctx, brokers[0].ID, req)
	if err != nil {
		return false, false
	}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, cfg := range res.Configs {
			if cfg.Name == setting && cfg.Value != nil {
				return *cfg.Value == "true", true
			}
		}
	}
	return false, true
}
