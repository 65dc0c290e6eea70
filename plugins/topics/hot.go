package topics

import (
	"context"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// translated is what became of a request's topics.
type translated struct {
	asked, sent *kafka.HotRequest // the client's view, and the cluster's; sent is nil where both are the same
	cluster     plugin.Cluster
	renamed     bool // a topic has another name there, which messages of brokers may quote
	at          int  // in sent, of the last topic that was found
}

// inPlace translates a Produce or Fetch in its bytes, and reports that it could: all its topics are known.
func (t *Topics) inPlace(req *plugin.Request, s *plugin.Step) bool {
	h := req.Body.Hot()
	if h == nil || len(h.Partitions) == 0 || h.Forgets || h.Transactional && t.cfg.Prefix != "" {
		return false
	}
	k := plugin.Keep[translated](s)
	k.cluster, k.asked = t.cluster(req), h
	var name string
	var id topicID
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if i == 0 || p.ID != h.Partitions[i-1].ID || string(p.Topic) != string(h.Partitions[i-1].Topic) {
			known := t.env.Catalog.Find(p.Topic, p.ID)
			if known == nil {
				return false
			}
			name = known.Physical(k.cluster.Name())
			k.renamed = k.renamed || name != known.Name
			if len(p.Topic) == 0 {
				there := k.cluster.Topology().Topics[name]
				if there == nil || there.ID == (topicID{}) {
					return false // the cluster is to be asked
				}
				id = there.ID
			}
		}
		switch {
		case len(p.Topic) == 0:
			k.change(req, s).SetID(i, id)
		case string(p.Topic) != name:
			k.change(req, s).SetTopic(i, name)
		}
	}
	return true
}

// change is the body that is sent, which can be changed.
func (k *translated) change(req *plugin.Request, s *plugin.Step) *kafka.RequestBody {
	if k.sent == nil {
		s.Change(req)
		k.sent = req.Body.Hot()
	}
	return req.Body
}

// Up translates the answer to what went down in place.
func (t *Topics) Up(_ context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	k := plugin.Kept[translated](s)
	if err != nil || resp == nil || k.sent == nil {
		return plugin.Answer(resp, err)
	}
	refused := req.Key == kmsg.Produce
	if r := resp.Body.Hot(); r != nil {
		refused = k.virtualize(r) && refused
	} else if err = k.virtualizeDecoded(resp); err != nil {
		return plugin.Answer(nil, err)
	}
	if refused && k.renamed {
		err = t.quoteProduced(k.cluster, resp)
	}
	return plugin.Answer(resp, err)
}

// virtualize gives the topics of an answer the client's names and ids, in its bytes, and reports that some partition is refused.
func (k *translated) virtualize(r *kafka.HotResponse) (refused bool) {
	for i := range r.Partitions {
		p := &r.Partitions[i]
		refused = refused || p.ErrorCode != 0
		switch asked := k.back(p.Topic, p.ID); {
		case asked == nil:
		case len(p.Topic) == 0:
			r.SetID(i, asked.ID)
		case string(p.Topic) != string(asked.Topic):
			r.SetTopic(i, asked.Topic)
		}
	}
	return refused
}

// virtualizeDecoded is virtualize for an answer that was decoded below.
func (k *translated) virtualizeDecoded(resp *plugin.Response) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	as := func(name *string, id *topicID) {
		if asked := k.back([]byte(*name), *id); asked != nil {
			*name, *id = string(asked.Topic), asked.ID
		}
	}
	switch m := msg.(type) {
	case *kmsg.ProduceResponse:
		for i := range m.Topics {
			as(&m.Topics[i].Topic, &m.Topics[i].TopicID)
		}
	case *kmsg.FetchResponse:
		for i := range m.Topics {
			as(&m.Topics[i].Topic, &m.Topics[i].TopicID)
		}
	}
	return nil
}

// back is what the client has asked for under a name or id on the cluster; nil is something else. Answers keep the order of their
// request: the next topic is not far.
func (k *translated) back(name []byte, id topicID) *kafka.HotPartition {
	for range k.sent.Partitions {
		if p := &k.sent.Partitions[k.at]; p.ID == id && string(p.Topic) == string(name) {
			return &k.asked.Partitions[k.at]
		}
		if k.at++; k.at == len(k.sent.Partitions) {
			k.at = 0
		}
	}
	return nil
}

// quoteProduced changes names in messages about topics that the answer calls what clients call them.
func (t *Topics) quoteProduced(cluster plugin.Cluster, resp *plugin.Response) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	m := msg.(*kmsg.ProduceResponse)
	for i := range m.Topics {
		if known := t.env.Catalog.Find([]byte(m.Topics[i].Topic), m.Topics[i].TopicID); known != nil {
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
