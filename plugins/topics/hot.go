package topics

import (
	"context"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// sameNames reports a Produce or Fetch whose topics have the same names on the cluster, or are given by
// ids, so that its bytes can be patched.
func (t *Topics) sameNames(req *plugin.Request) bool {
	h := req.Body.Hot()
	if h == nil || len(h.Partitions) == 0 || h.Forgets || h.Transactional && t.cfg.Prefix != "" {
		return false
	}
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if i > 0 && p.ID == h.Partitions[i-1].ID && string(p.Topic) == string(h.Partitions[i-1].Topic) {
			continue
		}
		known := t.env.Catalog.Find(p.Topic, p.ID)
		if known == nil || len(p.Topic) > 0 && known.Physical(t.cluster(req).Name()) != known.Name {
			return false
		}
	}
	return true
}

// hot translates ids in place; names are the same.
func (t *Topics) hot(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	h := req.Body.Hot()
	if len(h.Partitions[0].Topic) > 0 {
		return next.Handle(ctx, req)
	}
	n := names{Topics: t, ctx: ctx, cluster: t.cluster(req)}
	f := req.Change()
	sent := f.Body.Hot()
	for i := range h.Partitions {
		f.Body.SetID(i, n.physicalID(h.Partitions[i].ID))
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	at := 0 // answers keep the order of their request: the next topic is not far
	back := func(id [16]byte) [16]byte {
		for range sent.Partitions {
			if sent.Partitions[at].ID == id {
				return h.Partitions[at].ID
			}
			if at++; at == len(sent.Partitions) {
				at = 0
			}
		}
		return id
	}
	if r := resp.Body.Hot(); r != nil {
		refused := false
		for i := range r.Partitions {
			r.SetID(i, back(r.Partitions[i].ID))
			refused = refused || r.Partitions[i].ErrorCode != 0
		}
		if refused && req.Key == kmsg.Produce && t.cfg.Prefix != "" {
			return resp, n.quoteProduced(resp)
		}
		return resp, nil
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	switch m := msg.(type) {
	case *kmsg.ProduceResponse:
		for i := range m.Topics {
			m.Topics[i].TopicID = back(m.Topics[i].TopicID)
		}
		return resp, n.quoteProduced(resp)
	case *kmsg.FetchResponse:
		for i := range m.Topics {
			m.Topics[i].TopicID = back(m.Topics[i].TopicID)
		}
	}
	return resp, nil
}

// quoteProduced changes names in messages about topics that are given by the ids that clients know.
func (n *names) quoteProduced(resp *plugin.Response) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	m := msg.(*kmsg.ProduceResponse)
	for i := range m.Topics {
		if known := n.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
			quote(reflect.ValueOf(&m.Topics[i]).Elem(), known.Physical(n.cluster.Name()), known.Name)
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
		return resp, n.quoteProduced(resp)
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
