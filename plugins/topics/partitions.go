package topics

import (
	"context"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// translated is what becomes of the topics of a Produce or Fetch.
type translated struct {
	*Topics
	asked   *kafka.RequestView // the client's view
	sent    *kafka.RequestView // the cluster's; nil where both are the same
	cluster plugin.Cluster
	renamed bool   // a topic has another name there, which messages of brokers may quote
	at      int    // in sent, of the last topic that was found
	asks    *names // what the cluster has to be asked for; nil: nothing may wait

	req  *plugin.Request // whose body is changed
	step *plugin.Step    // that has the memory for it; nil: none
}

// partitionsDown translates the topics of a Produce or Fetch.
func (t *Topics) partitionsDown(req *plugin.Request, s *plugin.Step) plugin.Outcome {
	k := plugin.Keep[translated](s)
	k.Topics, k.cluster, k.req, k.step = t, t.cluster(req), req, s
	if k.translate() {
		return plugin.GoOn()
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		k := &translated{Topics: t, cluster: t.cluster(req), req: req.With(req.Body), asks: t.names(ctx, req)}
		k.translate()
		resp, err := next.Handle(ctx, k.req)
		return k.back(req.Key, resp, err)
	})
}

// translate gives the topics of the request the cluster's names and ids. False: the cluster has to
// be asked.
func (k *translated) translate() bool {
	k.asked = k.req.Body.View()
	h := k.asked
	if h.Transactional && k.cfg.Prefix != "" {
		k.change().SetTransactionID(k.cfg.Prefix + string(h.TransactionID))
	}
	if h.Forgets { // it has no session below
		k.change().ForgetNothing()
	}
	if h.Bare {
		k.change()
	}
	byID := kafka.Has(k.req.Key, k.req.Version, kafka.TopicIDs)
	var name string
	var id topicID
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if i == 0 || p.ID != h.Partitions[i-1].ID || string(p.Topic) != string(h.Partitions[i-1].Topic) {
			ok := true
			if byID {
				id, ok = k.physicalID(p.ID)
			} else {
				name = k.physicalName(p.Topic)
			}
			if !ok {
				return false
			}
		}
		switch {
		case byID:
			k.change().SetID(i, id)
		case string(p.Topic) != name:
			k.change().SetTopic(i, name)
		}
	}
	return true
}

// change is the body that is sent, which can be changed.
func (k *translated) change() *kafka.RequestBody {
	if k.sent == nil {
		if k.step != nil {
			k.step.Change(k.req)
		} else {
			k.req.Body = k.req.Body.Change()
		}
		k.sent = k.req.Body.View()
	}
	return k.req.Body
}

// physicalName is the name of a topic on the cluster.
func (k *translated) physicalName(topic []byte) string {
	if known := k.env.Catalog.Find(topic, topicID{}); known != nil {
		name := known.Physical(k.cluster.Name())
		k.renamed = k.renamed || name != known.Name
		return name
	}
	name := k.physicalOn(k.cluster, string(topic))
	k.renamed = k.renamed || name != string(topic)
	return name
}

// physicalID is the id of a topic on the cluster. False: the cluster has to be asked.
func (k *translated) physicalID(virtual topicID) (topicID, bool) {
	if known := k.env.Catalog.ByID(virtual); known != nil {
		name := known.Physical(k.cluster.Name())
		k.renamed = k.renamed || name != known.Name
		if there := k.cluster.Topology().Topics[name]; there != nil && there.ID != (topicID{}) {
			return there.ID, true
		}
	}
	if k.asks == nil {
		return topicID{}, false
	}
	return k.asks.physicalID(virtual), true
}

// back translates the answer.
func (k *translated) back(key kmsg.Key, resp *plugin.Response, err error) (*plugin.Response, error) {
	if err != nil || resp == nil || k.sent == nil {
		return resp, err
	}
	resp.Body.DropBare()
	if refused := k.virtualize(resp.Body.View()); refused && k.renamed && key == kmsg.Produce {
		err = k.quoteProduced(resp)
	}
	return resp, err
}

// virtualize gives the topics of an answer the client's names and ids, in its bytes, and reports
// that some partition is refused.
func (k *translated) virtualize(r *kafka.ResponseView) (refused bool) {
	for i := range r.Partitions {
		p := &r.Partitions[i]
		refused = refused || p.ErrorCode != 0
		switch asked := k.find(p.Topic, p.ID); {
		case asked == nil:
		case len(p.Topic) == 0:
			r.SetID(i, asked.ID)
		case string(p.Topic) != string(asked.Topic):
			r.SetTopic(i, asked.Topic)
		}
	}
	return refused
}

// find is what the client has asked for under a name or id on the cluster; nil is something else.
// Answers keep the order of their request: the next topic is not far.
func (k *translated) find(name []byte, id topicID) *kafka.RequestPartition {
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

// quoteProduced changes names in messages about topics that the answer calls what clients call
// them.
func (k *translated) quoteProduced(resp *plugin.Response) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	m := msg.(*kmsg.ProduceResponse)
	for i := range m.Topics {
		rt := &m.Topics[i]
		name := rt.Topic
		if known := k.env.Catalog.Find([]byte(rt.Topic), rt.TopicID); known != nil {
			name = known.Name
		}
		quote(reflect.ValueOf(rt).Elem(), k.physicalOn(k.cluster, name), name)
	}
	return nil
}
