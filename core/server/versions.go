package server

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Versions are the APIs, versions and features that clients of a virtual cluster may use. It is
// immutable.
type Versions struct {
	clusterID string
	vnode     func(cluster string, node int32) int32
	ranges    map[kmsg.Key][2]int16
	supported []kmsg.ApiVersionsResponseSupportedFeature
	finalized []kmsg.ApiVersionsResponseFinalizedFeature
	gateways  func() []string
}

// errLoop is a client that has come through this gateway before.
var errLoop = errors.New("the client is a gateway through which this one is asked by itself: look at the bootstrap of the clusters and at what brokers advertise")

// Among says which gateways there are here and behind the clusters, this one first; other gateways
// are told, and one that has come through this one is refused.
func (v *Versions) Among(gateways func() []string) { v.gateways = gateways }

// features that an API needs finalized; 3.9 advertises KIP-848 and refuses it, 4.1 KIP-932.
var needs = map[kmsg.Key]string{
	kmsg.ConsumerGroupHeartbeat: "group.version", kmsg.ConsumerGroupDescribe: "group.version",
	kmsg.ShareGroupHeartbeat: "share.version", kmsg.ShareGroupDescribe: "share.version",
	kmsg.ShareFetch: "share.version", kmsg.ShareAcknowledge: "share.version",
	kmsg.DescribeShareGroupOffsets: "share.version", kmsg.AlterShareGroupOffsets: "share.version", kmsg.DeleteShareGroupOffsets: "share.version",
}

// NewVersions intersects what kmsg, every cluster and every interceptor understands. known holds
// the last ApiVersions answer of each cluster, nil for one that has never answered: it limits
// nothing. Finalized features are intersected, and the APIs by them.
func NewVersions(clusterID string, vnode func(cluster string, node int32) int32, known []*kmsg.ApiVersionsResponse, chain *chain.Chain) *Versions {
	v := &Versions{clusterID: clusterID, vnode: vnode, ranges: map[kmsg.Key][2]int16{}}
	known = slices.DeleteFunc(slices.Clone(known), func(k *kmsg.ApiVersionsResponse) bool { return k == nil })
	v.intersectFeatures(known)
	for _, api := range kafka.APIs() {
		if api.GoesTo == kafka.Refused || !v.has(needs[api.Key], len(known)) {
			continue
		}
		low, high := api.MinVersion, api.MaxVersion
		if api.GoesTo != kafka.Gateway {
			for _, k := range known {
				low, high = intersect(k, api.Key, low, high)
			}
			high = min(high, chain.MaxVersion(int16(api.Key), high))
		}
		if api.Key == kmsg.Produce {
			low = 0
		}
		if high >= low {
			v.ranges[api.Key] = [2]int16{low, high}
		}
	}
	return v
}

func intersect(k *kmsg.ApiVersionsResponse, key kmsg.Key, low, high int16) (int16, int16) {
	for _, a := range k.ApiKeys {
		if a.ApiKey == int16(key) {
			return max(low, a.MinVersion), min(high, a.MaxVersion)
		}
	}
	return low, -1
}

func (v *Versions) intersectFeatures(known []*kmsg.ApiVersionsResponse) {
	if len(known) == 0 {
		return
	}
	for _, f := range known[0].FinalizedFeatures {
		all := true
		for _, k := range known[1:] {
			i := slices.IndexFunc(k.FinalizedFeatures, func(o kmsg.ApiVersionsResponseFinalizedFeature) bool { return o.Name == f.Name })
			if i < 0 {
				all = false
				break
			}
			f.MaxVersionLevel = min(f.MaxVersionLevel, k.FinalizedFeatures[i].MaxVersionLevel)
			f.MinVersionLevel = min(f.MinVersionLevel, k.FinalizedFeatures[i].MinVersionLevel)
		}
		if all && f.MaxVersionLevel > 0 {
			v.finalized = append(v.finalized, f)
		}
	}
	for _, s := range known[0].SupportedFeatures {
		all := true
		for _, k := range known[1:] {
			i := slices.IndexFunc(k.SupportedFeatures, func(o kmsg.ApiVersionsResponseSupportedFeature) bool { return o.Name == s.Name })
			if i < 0 {
				all = false
				break
			}
			s.MinVersion, s.MaxVersion = max(s.MinVersion, k.SupportedFeatures[i].MinVersion), min(s.MaxVersion, k.SupportedFeatures[i].MaxVersion)
		}
		if all && s.MaxVersion >= s.MinVersion {
			v.supported = append(v.supported, s)
		}
	}
}

func (v *Versions) has(feature string, clusters int) bool {
	return feature == "" || clusters == 0 ||
		slices.ContainsFunc(v.finalized, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool { return f.Name == feature })
}

// produceMin is the first version of Produce that carries record batches (0.11). Lower ones are
// listed because librdkafka turns compression off otherwise (KAFKA-18659), and refused as Kafka 4
// refuses them.
const produceMin = 3

// Offers reports whether clients may use a version of an API.
func (v *Versions) Offers(key kmsg.Key, version int16) bool {
	if key == kmsg.Produce && version < produceMin {
		return false
	}
	r, ok := v.ranges[key]
	return ok && version >= r[0] && version <= r[1]
}

// Narrower reports that v takes away something that old offered.
func (v *Versions) Narrower(old *Versions) bool {
	for k, r := range old.ranges {
		if n, ok := v.ranges[k]; !ok || n[0] > r[0] || n[1] < r[1] {
			return true
		}
	}
	return false
}

// Answer answers ApiVersions. The client's software name is noted in the session, and version 5's
// cluster and node id are checked against the virtual ones (KIP-1242). An error is a body that is
// no request.
func (v *Versions) Answer(s *plugin.Session, version int16, body []byte) (*plugin.Response, error) {
	if !v.Offers(kmsg.ApiVersions, version) {
		return v.Unsupported(), nil
	}
	msg, err := kafka.NewRequestBody(kmsg.ApiVersions, version, body).Peek()
	if err != nil {
		return nil, err
	}
	req, resp := msg.(*kmsg.ApiVersionsRequest), v.response(version)
	if kafka.Has(kmsg.ApiVersions, version, kafka.ClientSoftware) {
		if !isSoftware(req.ClientSoftwareName) || !isSoftware(req.ClientSoftwareVersion) {
			refused := kmsg.NewPtrApiVersionsResponse()
			refused.Version, refused.ErrorCode = version, int16(kafka.InvalidRequest)
			return plugin.Respond(refused), nil
		}
		software := req.ClientSoftwareName + " " + req.ClientSoftwareVersion
		s.Software.Store(&software)
		if path := plugin.Path(req.ClientSoftwareName, req.ClientSoftwareVersion); path != nil && v.gateways != nil {
			here := v.gateways()
			if slices.Contains(path, here[0]) {
				return nil, errLoop
			}
			plugin.TellGateways(resp, here)
		}
	}
	if kafka.Has(kmsg.ApiVersions, version, kafka.WrongCluster) && !v.believes(s, req) {
		resp.ErrorCode = int16(kafka.RebootstrapRequired)
	}
	return plugin.Respond(resp), nil
}

// isSoftware reports a name or version of a client that Kafka takes: letters, digits, and dots and
// hyphens between them (KIP-511).
func isSoftware(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '.' || c == '-') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != ""
}

// refuseSASL answers who begins SASL as brokers do whose listener has none. An error is a body that
// is no request.
func refuseSASL(h kafka.Header, body []byte) (*plugin.Response, error) {
	message := ""
	if h.Key == kmsg.SASLAuthenticate {
		message = "SaslAuthenticate request received after successful authentication"
	}
	return plugin.Fail(&plugin.Request{Header: h, Body: kafka.NewRequestBody(h.Key, h.Version, body)}, kafka.IllegalSASLState, message)
}

func (v *Versions) believes(s *plugin.Session, req *kmsg.ApiVersionsRequest) bool {
	if req.ClusterID != nil && *req.ClusterID != "" && *req.ClusterID != v.clusterID {
		return false
	}
	return req.NodeID < 0 || s.Node == plugin.AnyNode || req.NodeID == v.vnode(s.Cluster, s.Node)
}

// Unsupported is the answer to an ApiVersions request in a version that is not offered: version 0
// with error 35 and the list, from which the client picks again.
func (v *Versions) Unsupported() *plugin.Response {
	resp := v.response(0)
	resp.ErrorCode = int16(kafka.UnsupportedVersion)
	return plugin.Respond(resp)
}

func (v *Versions) response(version int16) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(version)
	for _, api := range kafka.APIs() {
		r, ok := v.ranges[api.Key]
		if !ok {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = int16(api.Key), r[0], r[1]
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	if kafka.Has(kmsg.ApiVersions, version, kafka.ClientSoftware) {
		resp.SupportedFeatures, resp.FinalizedFeatures = v.supported, v.finalized
		if len(v.finalized) > 0 {
			resp.FinalizedFeaturesEpoch = 1
		}
	}
	return resp
}

// Ranges lists the versions offered, by API.
func (v *Versions) Ranges() map[kmsg.Key][2]int16 { return v.ranges }
