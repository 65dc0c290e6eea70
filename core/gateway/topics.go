package gateway

import (
	"context"
	"net/http"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/standing"
)

// Topics lists the topics of a virtual cluster, or those that pick chooses.
func (o operator) Topics(ctx context.Context, vc string, partitions bool, pick func([]admin.Topic) []admin.Topic) ([]admin.Topic, error) {
	v, err := o.virtual(vc)
	if err != nil {
		return nil, err
	}
	rt := v.runtime()
	topics := rt.env.Catalog.Topics()
	if pick == nil {
		return o.survey(ctx, v, rt, topics, partitions), nil
	}
	all := make([]admin.Topic, 0, len(topics))
	for _, t := range topics {
		all = append(all, outline(v, rt, t))
	}
	var picked []*catalog.Topic
	for _, k := range pick(all) {
		if t := rt.env.Catalog.Topic(k.Name); t != nil {
			picked = append(picked, t)
		}
	}
	return o.survey(ctx, v, rt, picked, partitions), nil
}

// Counts counts the records of the topics of a virtual cluster.
func (o operator) Counts(ctx context.Context, vc string) ([]admin.Count, error) {
	v, err := o.virtual(vc)
	if err != nil {
		return nil, err
	}
	rt := v.runtime()
	var out []admin.Count
	for t, ends := range o.g.standing.LastEnds(ctx, standingEnv(rt), rt.env.Catalog.Topics()) {
		out = append(out, admin.Count{Topic: t.Name, Generation: t.Generation, Records: records(ends)})
	}
	return out, nil
}

// Topic is one topic.
func (o operator) Topic(ctx context.Context, vc, topic string) (admin.Topic, error) {
	v, err := o.virtual(vc)
	if err != nil {
		return admin.Topic{}, err
	}
	rt := v.runtime()
	t := rt.env.Catalog.Topic(topic)
	if t == nil || rt.hides(topic) {
		return admin.Topic{}, &admin.Error{Status: http.StatusNotFound, Message: "the virtual cluster does not know the topic " + topic}
	}
	return o.survey(ctx, v, rt, []*catalog.Topic{t}, true)[0], nil
}

// survey asks clusters how topics stand.
func (o operator) survey(ctx context.Context, v *virtual, rt *runtime, topics []*catalog.Topic, partitions bool) []admin.Topic {
	out := make([]admin.Topic, 0, len(topics))
	for _, s := range o.g.standing.Survey(ctx, standingEnv(rt), topics, partitions) {
		k := outline(v, rt, s.Topic)
		k.ID, k.Names, k.Missing = uuid(s.Topic.ID), s.Topic.Names, s.Topic.Missing
		k.Records, k.Copies = records(s.Partitions), make([]admin.Copy, 0, len(s.Copies))
		for _, c := range s.Copies {
			k.Copies = append(k.Copies, admin.Copy{Cluster: c.Cluster, Compared: c.Compared, Problem: c.Problem, Lag: lag(c.Partitions)})
		}
		if partitions {
			o.listPartitions(&k, v.name, s)
		}
		out = append(out, k)
	}
	return out
}

// listPartitions adds the partitions of a topic, and of its copies.
func (o operator) listPartitions(k *admin.Topic, vc string, s standing.Topic) {
	k.Partitions = make([]admin.Partition, 0, len(s.Partitions))
	for p, e := range s.Partitions {
		k.Partitions = append(k.Partitions, admin.Partition{Partition: p, Start: e.Start, End: e.End, Holes: e.Holes})
	}
	for i, c := range s.Copies {
		list := make([]admin.CopyPartition, 0, len(c.Partitions))
		for p, y := range c.Partitions {
			z := admin.CopyPartition{Partition: p, Start: y.Start, End: y.End, Lag: y.Lag, ComparedFrom: y.ComparedFrom, ComparedTo: y.ComparedTo, Aligned: o.g.standing.Aligned(vc, s.Topic, c.Cluster, p)}
			if y.Known {
				z.Delta = &y.Delta
			}
			list = append(list, z)
		}
		k.Copies[i].Partitions = list
	}
}

// records is how many records there are, for all that their offsets say.
func records(partitions []standing.Ends) (n int64) {
	for _, e := range partitions {
		if e.End < 0 {
			return admin.Unknown
		}
		n += e.End - e.Holes
	}
	return n
}

// lag is how many records a copy lacks.
func lag(partitions []standing.CopyPartition) (n int64) {
	for _, p := range partitions {
		if p.Lag < 0 {
			return admin.Unknown
		}
		n += p.Lag
	}
	return n
}

// outline is what the gateway knows of a topic by itself and lists are sorted and narrowed down by.
func outline(v *virtual, rt *runtime, t *catalog.Topic) admin.Topic {
	k := admin.Topic{
		VirtualCluster: v.name, Name: t.Name, Home: t.Home, Wanted: rt.wanted(t.Name), Generation: t.Generation,
		PartitionCount: len(t.Partitions), Records: admin.Unknown,
	}
	if c := rt.env.Cluster(t.Home); c != nil {
		k.Reachable = c.Reachable()
	}
	return k
}
