package catalog

import (
	"context"
	"strings"
)

// Share is where a share group is in a topic, as its home last said.
type Share struct {
	// Topic is the id of the topic: another one of that name is another topic.
	Topic [16]byte `json:"topic"`
	// Generation is that of the topic whose home has the group's state.
	Generation int32  `json:"generation"`
	Home       string `json:"home"`
	// Partitions is how many partitions the home knows the group's state of.
	Partitions int `json:"partitions"`
	// Starts are the virtual offsets where the group's share partitions start, by partition; -1 is
	// one that the home has not said.
	Starts []int64 `json:"starts,omitempty"`
}

// ShareKey names a share group and a topic.
type ShareKey struct{ Group, Topic string }

// Share is what is stored of a share group and a topic; ok is false if nothing is.
func (v *Virtual) Share(key ShareKey) (s Share, ok bool, err error) {
	ok, err = v.catalog.Value(KindShare, v.shareKey(key), &s)
	return s, ok, err
}

// KeepShares stores where share groups are in topics; nil forgets it.
func (v *Virtual) KeepShares(ctx context.Context, shares map[ShareKey]*Share) error {
	values := make(map[string]any, len(shares))
	for key, s := range shares {
		if values[v.shareKey(key)] = nil; s != nil {
			values[v.shareKey(key)] = s
		}
	}
	return v.catalog.SetValues(ctx, KindShare, values)
}

// Shares lists the share groups and topics of which something is stored.
func (v *Virtual) Shares() (out []ShareKey) {
	for _, k := range v.catalog.Keys(KindShare) {
		vc, rest, _ := strings.Cut(k, "\x00")
		if at := strings.LastIndexByte(rest, 0); vc == v.name && at >= 0 {
			out = append(out, ShareKey{rest[:at], rest[at+1:]})
		}
	}
	return out
}

// shareKey has the topic last: no topic's name has a NUL.
func (v *Virtual) shareKey(key ShareKey) string {
	return v.name + "\x00" + key.Group + "\x00" + key.Topic
}
