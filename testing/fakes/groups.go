package fakes

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const notCoordinator = 16

// ofGroups answers what is asked about groups; nil for something else. Their coordinator alone
// tells and takes positions.
func (f *Cluster) ofGroups(node int32, req kmsg.Request) (kmsg.Response, error) {
	var code int16
	if node != f.Coordinates {
		code = notCoordinator
	}
	switch kmsg.Key(req.Key()) {
	case kmsg.ListGroups:
		resp := kmsg.NewPtrListGroupsResponse()
		for _, g := range slices.Sorted(maps.Keys(f.Groups)) {
			if g == f.Orphan {
				continue
			}
			x := kmsg.NewListGroupsResponseGroup()
			x.Group = g
			resp.Groups = append(resp.Groups, x)
		}
		return resp, nil
	case kmsg.OffsetFetch:
		r := kmsg.NewPtrOffsetFetchRequest()
		if err := unwrap(req, r); err != nil {
			return nil, err
		}
		return f.positions(r), nil
	case kmsg.OffsetCommit:
		r := kmsg.NewPtrOffsetCommitRequest()
		if err := unwrap(req, r); err != nil {
			return nil, err
		}
		return f.commit(r, code), nil
	}
	return nil, nil
}

// unwrap decodes a request: whoever limits its version wraps it.
func unwrap(req, into kmsg.Request) error {
	req.SetVersion(req.MaxVersion())
	into.SetVersion(req.MaxVersion())
	return into.ReadFrom(req.AppendTo(nil))
}

// positions are those of the first group.
func (f *Cluster) positions(r *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	g := kmsg.NewOffsetFetchResponseGroup()
	g.Group = r.Groups[0].Group
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic = "orders"
	for p, o := range f.Groups[g.Group] {
		x := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		x.Partition, x.Offset = p, o
		t.Partitions = append(t.Partitions, x)
	}
	g.Topics = append(g.Topics, t)
	resp.Groups = append(resp.Groups, g)
	return resp
}

// commit takes positions in "orders", or refuses them with a code.
func (f *Cluster) commit(r *kmsg.OffsetCommitRequest, code int16) kmsg.Response {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			switch {
			case code != 0:
			case t.Topic != "orders":
				rp.ErrorCode = noTopic
			default:
				if f.Groups[r.Group] == nil {
					f.Groups[r.Group] = map[int32]int64{}
				}
				f.Groups[r.Group][p.Partition] = p.Offset
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
