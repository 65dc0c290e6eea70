package topics

import (
	"context"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// ids are the ids of a request's topics: the client's, and those on the cluster.
type ids struct {
	asked, sent *kafka.HotRequest
	cluster     plugin.Cluster
	at          int // in sent, of the last topic that was found
}

// inPlace translates a Produce or Fetch whose topics have the same names on the cluster, or are given by ids that are known, in its
// bytes, and reports that it could.
func (t *Topics) inPlace(req *plugin.Request, s *plugin.Step) bool {
	h := req.Body.Hot()
	if h == nil || len(h.Partitions) == 0 || h.Forgets || h.Transactional && t.cfg.Prefix != "" {
		return false
	}
	k := plugin.Keep[ids](s)
	k.cluster = t.cluster(req)
	var id topicID
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if i == 0 || p.ID != h.Partitions[i-1].ID || string(p.Topic) != string(h.Partitions[i-1].Topic) {
			known := t.env.Catalog.Find(p.Topic, p.ID)
			if known == nil {
				return false
			}
			name := known.Physical(k.cluster.Name())
			if len(p.Topic) > 0 {
				if name != known.Name {
					return false
				}
				continue
			}
			there := k.cluster.Topology().Topics[name]
			if there == nil || there.ID == (topicID{}) {
				return false // the cluster is to be asked
			}
			id = there.ID
		}
		if len(p.Topic) > 0 {
			continue
		}
		if k.sent == nil {
			s.Change(req)
			k.asked, k.sent = h, req.Body.Hot()
		}
		req.Body.SetID(i, id)
	}
	return true
}

// Up translates the answer to what went down in place.
func (t *Topics) Up(_ context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	k := plugin.Kept[ids](s)
	if err != nil || resp == nil || k.sent == nil {
		return plugin.Answer(resp, err)
	}
	if r := resp.Body.Hot(); r != nil {
		refused := false
		for i := range r.Partitions {
			r.SetID(i, k.back(r.Partitions[i].ID))
			refused = refused || r.Partitions[i].ErrorCode != 0
		}
		if refused && req.Key == kmsg.Produce && t.cfg.Prefix != "" {
			err = t.quoteProduced(k.cluster, resp)
		}
		return plugin.Answer(resp, err)
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return plugin.Answer(nil, err)
	}
	switch m := msg.(type) {
	case *kmsg.ProduceResponse:
		for i := range m.Topics {
			m.Topics[i].TopicID = k.back(m.Topics[i].TopicID)
		}
		return plugin.Answer(resp, t.quoteProduced(k.cluster, resp))
	case *kmsg.FetchResponse:
		for i := range m.Topics {
			m.Topics[i].TopicID = k.back(m.Topics[i].TopicID)
		}
	}
	return plugin.Answer(resp, nil)
}

// back is the client's id for one on the cluster. Answers keep the order of their request: the next topic is not far.
func (k *ids) back(id topicID) topicID {
	for range k.sent.Partitions {
		if k.sent.Partitions[k.at].ID == id {
			return k.asked.Partitions[k.at].ID
		}
		if k.at++; k.at == len(k.sent.Partitions) {
			k.at = 0
		}
	}
	return id
}

// quoteProduced changes names in messages about topics that are given by the ids that clients know.
func (t *Topics) quoteProduced(cluster plugin.Cluster, resp *plugin.Response) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	m := msg.(*kmsg.ProduceResponse)
	for i := range m.Topics {
		if known := t.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
			quote(reflect.ValueOf(&m.Topics[i]).Elem(), known.Physical(cluster.Name()), known.Name)
		}
	}
	return nil
}

// produce translates the topics of a Produce. A request whose names are the same on the cluster is
// not touched.
func (n *names) produce(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	p, err := req.Body.Produce()
	if err != nil {
		return nil, err
	}
	byID := req.Version >= 13
	same := !byID && (p.TransactionID == nil || n.cfg.Prefix == "")
	for i := range p.Topics {
		same = same && n.physical(p.Topics[i].Topic) == p.Topics[i].Topic
	}
	if same {
		return next.Handle(ctx, req)
	}
	f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
	if err != nil {
		return nil, err
	}
	back := map[[16]byte]int{}
	backName := map[string]int{}
	for i := range m.Topics {
		t := &m.Topics[i]
		if byID {
			t.TopicID = n.physicalID(t.TopicID)
			back[t.TopicID] = i
		} else {
			t.Topic = n.physical(t.Topic)
			backName[t.Topic] = i
		}
	}
	if m.TransactionID != nil {
		id := n.cfg.Prefix + *m.TransactionID
		m.TransactionID = &id
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	if _, err := resp.Body.Edit(); err != nil {
		return nil, err
	}
	r, err := resp.Body.Produce()
	if err != nil {
		return nil, err
	}
	for i := range r.Topics {
		if j, ok := back[r.Topics[i].TopicID]; ok && byID {
			r.Topics[i].TopicID = p.Topics[j].TopicID
		} else if j, ok := backName[r.Topics[i].Topic]; ok && !byID {
			quote(reflect.ValueOf(&r.Topics[i]).Elem(), r.Topics[i].Topic, p.Topics[j].Topic)
			r.Topics[i].Topic = p.Topics[j].Topic
		}
	}
	if byID {
		return resp, n.quoteProduced(n.cluster, resp)
	}
	return resp, nil
}

// fetch translates the topics of a Fetch.
func (n *names) fetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	p, err := req.Body.Fetch()
	if err != nil {
		return nil, err
	}
	byID := req.Version >= 13
	same := !byID
	for i := range p.Topics {
		same = same && n.physical(p.Topics[i].Topic) == p.Topics[i].Topic
	}
	for i := range p.ForgottenTopics {
		same = same && n.physical(p.ForgottenTopics[i].Topic) == p.ForgottenTopics[i].Topic
	}
	if same {
		return next.Handle(ctx, req)
	}
	f, m, err := plugin.Edit[*kmsg.FetchRequest](req)
	if err != nil {
		return nil, err
	}
	back := map[[16]byte]int{}
	backName := map[string]int{}
	for i := range m.Topics {
		t := &m.Topics[i]
		if byID {
			t.TopicID = n.physicalID(t.TopicID)
			back[t.TopicID] = i
		} else {
			t.Topic = n.physical(t.Topic)
			backName[t.Topic] = i
		}
	}
	for i := range m.ForgottenTopics {
		if t := &m.ForgottenTopics[i]; byID {
			t.TopicID = n.physicalID(t.TopicID)
		} else {
			t.Topic = n.physical(t.Topic)
		}
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	if _, err := resp.Body.Edit(); err != nil {
		return nil, err
	}
	r, err := resp.Body.Fetch()
	if err != nil {
		return nil, err
	}
	for i := range r.Topics {
		if j, ok := back[r.Topics[i].TopicID]; ok && byID {
			r.Topics[i].TopicID = p.Topics[j].TopicID
		} else if j, ok := backName[r.Topics[i].Topic]; ok && !byID {
			r.Topics[i].Topic = p.Topics[j].Topic
		}
	}
	return resp, nil
}
