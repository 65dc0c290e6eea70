package joint

import "github.com/twmb/franz-go/pkg/kmsg"

var listsOffsets = kind[*kmsg.ListOffsetsRequest]{
	most:   MostPartitions,
	places: offsetPlaces,
	join:   joining(func(q *kmsg.ListOffsetsRequest) *[]kmsg.ListOffsetsRequestTopic { return &q.Topics }),
	part: func(all kmsg.Response, q *kmsg.ListOffsetsRequest) kmsg.Response {
		out := *all.(*kmsg.ListOffsetsResponse)
		out.Topics = only(out.Topics, func(t kmsg.ListOffsetsResponseTopic) string { return t.Topic }, offsetPlaces(q))
		return &out
	},
}

func offsetPlaces(q *kmsg.ListOffsetsRequest) (out []Place) {
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			out = append(out, Place{t.Topic, p.Partition})
		}
	}
	return out
}

var describesProducers = kind[*kmsg.DescribeProducersRequest]{
	most:   MostPartitions,
	places: producerPlaces,
	join:   joining(func(q *kmsg.DescribeProducersRequest) *[]kmsg.DescribeProducersRequestTopic { return &q.Topics }),
	part: func(all kmsg.Response, q *kmsg.DescribeProducersRequest) kmsg.Response {
		out := *all.(*kmsg.DescribeProducersResponse)
		out.Topics = only(out.Topics, func(t kmsg.DescribeProducersResponseTopic) string { return t.Topic }, producerPlaces(q))
		return &out
	},
}

func producerPlaces(q *kmsg.DescribeProducersRequest) (out []Place) {
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			out = append(out, Place{t.Topic, p})
		}
	}
	return out
}

// joining makes one request of several, with what is on all their lists.
func joining[Q, T any](of func(*Q) *[]T) func([]*Q) *Q {
	return func(list []*Q) *Q {
		all := *list[0]
		*of(&all) = nil
		for _, q := range list {
			*of(&all) = append(*of(&all), *of(q)...)
		}
		return &all
	}
}

// only keeps the topics of a list that a request names. Who asks for some partitions of a topic
// gets what others asked of it, too.
func only[T any](list []T, name func(T) string, asked []Place) (out []T) {
	names := map[string]bool{}
	for _, p := range asked {
		names[p.Topic] = true
	}
	for _, t := range list {
		if names[name(t)] {
			out = append(out, t)
		}
	}
	return out
}

// triesProduces are the produces without records that tell whether a copy takes any.
var triesProduces = kind[*kmsg.ProduceRequest]{
	most: MostPartitions,
	places: func(q *kmsg.ProduceRequest) (out []Place) {
		for _, t := range q.Topics {
			for _, p := range t.Partitions {
				out = append(out, Place{t.Topic, p.Partition})
			}
		}
		return out
	},
	join: joining(func(q *kmsg.ProduceRequest) *[]kmsg.ProduceRequestTopic { return &q.Topics }),
	part: func(all kmsg.Response, q *kmsg.ProduceRequest) kmsg.Response {
		out := *all.(*kmsg.ProduceResponse)
		named, ids := map[string]bool{"": false}, map[[16]byte]bool{}
		for _, t := range q.Topics {
			named[t.Topic], ids[t.TopicID] = true, true
		}
		out.Topics = keep(out.Topics, func(t kmsg.ProduceResponseTopic) bool {
			return named[t.Topic] || t.Topic == "" && ids[t.TopicID] // from version 13 on there are ids alone
		})
		return &out
	},
}

var describesConfigs = kind[*kmsg.DescribeConfigsRequest]{
	most: mostNames,
	places: func(q *kmsg.DescribeConfigsRequest) (out []Place) {
		for _, r := range q.Resources {
			out = append(out, Place{Topic: r.ResourceName})
		}
		return out
	},
	join: joining(func(q *kmsg.DescribeConfigsRequest) *[]kmsg.DescribeConfigsRequestResource { return &q.Resources }),
	part: func(all kmsg.Response, q *kmsg.DescribeConfigsRequest) kmsg.Response {
		out := *all.(*kmsg.DescribeConfigsResponse)
		out.Resources = keep(out.Resources, func(r kmsg.DescribeConfigsResponseResource) bool {
			return r.ResourceName == q.Resources[0].ResourceName
		})
		return &out
	},
}

// listsRights asks what the gateway may do with topics.
var listsRights = kind[*kmsg.MetadataRequest]{
	most:   mostNames,
	places: metadataPlaces,
	join:   joining(func(q *kmsg.MetadataRequest) *[]kmsg.MetadataRequestTopic { return &q.Topics }),
	part: func(all kmsg.Response, q *kmsg.MetadataRequest) kmsg.Response {
		out := *all.(*kmsg.MetadataResponse)
		out.Topics = keep(out.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.Topic != nil && *t.Topic == *q.Topics[0].Topic })
		return &out
	},
}

// showsTopics asks what topics a cluster has. Who asks looks at its topology then.
var showsTopics = kind[*kmsg.MetadataRequest]{
	most:   mostNames,
	places: metadataPlaces,
	join:   listsRights.join,
	part:   func(kmsg.Response, *kmsg.MetadataRequest) kmsg.Response { return nil },
}

func metadataPlaces(q *kmsg.MetadataRequest) (out []Place) {
	for _, t := range q.Topics {
		out = append(out, Place{Topic: *t.Topic})
	}
	return out
}

// keep are the things of a list that are wanted.
func keep[T any](list []T, wanted func(T) bool) (out []T) {
	for _, x := range list {
		if wanted(x) {
			out = append(out, x)
		}
	}
	return out
}
