package server

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
)

func TestApiVersions(t *testing.T) {
	_, addr := serve(t, limits(), nil)
	c := dial(t, addr)
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(4)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
	c.send(req)
	_, msg := c.receive(kmsg.ApiVersions, 4)
	offered := map[int16][2]int16{}
	for _, k := range msg.(*kmsg.ApiVersionsResponse).ApiKeys {
		offered[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	if offered[0] != [2]int16{0, 13} || offered[1][1] != 18 {
		t.Errorf("Produce %v, Fetch %v", offered[0], offered[1])
	}
	for _, k := range []kmsg.Key{kmsg.GetTelemetrySubscriptions, kmsg.LeaderAndISR, kmsg.ReadShareGroupState, kmsg.StreamsGroupHeartbeat} {
		if _, ok := offered[int16(k)]; ok {
			t.Errorf("%s is offered", kmsg.NameForKey(int16(k)))
		}
	}

	// A version of the future is answered in version 0 with the list.
	frame := []byte{0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 1, 1}
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	corr, msg := c.receive(kmsg.ApiVersions, 0)
	if v := msg.(*kmsg.ApiVersionsResponse); corr != 7 || v.ErrorCode != 35 || len(v.ApiKeys) == 0 {
		t.Errorf("%d: code %d, %d keys", corr, v.ErrorCode, len(v.ApiKeys))
	}

	// KIP-1242: another cluster's id means that the client is at the wrong place.
	req.SetVersion(5)
	for id, want := range map[string]int16{"cluster": 0, "other": 129} {
		req.ClusterID, req.NodeID = &id, -1
		c.send(req)
		if _, msg := c.receive(kmsg.ApiVersions, 5); msg.(*kmsg.ApiVersionsResponse).ErrorCode != want {
			t.Errorf("cluster id %s: code %d", id, msg.(*kmsg.ApiVersionsResponse).ErrorCode)
		}
	}
}

// TestSoftwareWithoutANameIsRefused, as brokers refuse it, and the connection goes on; old versions
// don't tell it.
func TestSoftwareWithoutANameIsRefused(t *testing.T) {
	_, addr := serve(t, limits(), nil)
	c := dial(t, addr)
	for _, software := range []struct {
		name, version string
		code          int16
	}{
		{"", "1", 42}, {"a", "", 42}, {"-a", "1", 42}, {"a-", "1", 42}, {".", "1", 42}, {"a b", "1", 42}, {"a_b", "1", 42}, {"ü", "1", 42}, {"a", "1.", 42},
		{"a", "1", 0}, {"a-b.c", "1.2-SNAPSHOT", 0}, {"apache-kafka-java", "4.3.1", 0},
	} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = software.name, software.version
		for version := range req.MaxVersion() + 1 {
			req.SetVersion(version)
			c.send(req)
			_, msg := c.receive(kmsg.ApiVersions, version)
			want := software.code
			if version < 3 {
				want = 0
			}
			r := msg.(*kmsg.ApiVersionsResponse)
			if r.ErrorCode != want {
				t.Errorf("%+v in version %d: code %d", software, version, r.ErrorCode)
			}
			if listed := len(r.ApiKeys) > 0; listed != (want == 0) {
				t.Errorf("%+v in version %d: %d APIs", software, version, len(r.ApiKeys))
			}
		}
	}
}

// TestSASLIsOff: who begins it is told so, in every version, and the connection goes on.
func TestSASLIsOff(t *testing.T) {
	_, addr := serve(t, limits(), nil)
	c := dial(t, addr)
	for _, req := range []kmsg.Request{kmsg.NewPtrSASLHandshakeRequest(), kmsg.NewPtrSASLAuthenticateRequest()} {
		for version := range req.MaxVersion() + 1 {
			req.SetVersion(version)
			c.send(req)
			code := int16(-1)
			switch _, msg := c.receive(kmsg.Key(req.Key()), version); r := msg.(type) {
			case *kmsg.SASLHandshakeResponse:
				code = r.ErrorCode
			case *kmsg.SASLAuthenticateResponse:
				code = r.ErrorCode
			}
			if code != 34 {
				t.Errorf("%s version %d: code %d", kmsg.NameForKey(req.Key()), version, code)
			}
		}
	}
}

func TestVersionsAreTheIntersection(t *testing.T) {
	answer := func(fetch int16, features map[string]int16, keys ...kmsg.Key) *kmsg.ApiVersionsResponse {
		r := kmsg.NewPtrApiVersionsResponse()
		for _, k := range append(keys, kmsg.Fetch, kmsg.Produce) {
			a := kmsg.NewApiVersionsResponseApiKey()
			a.ApiKey, a.MaxVersion = int16(k), 12
			switch k {
			case kmsg.Fetch:
				a.MinVersion, a.MaxVersion = 3, fetch
			case kmsg.Produce:
				a.MinVersion = 3
			}
			r.ApiKeys = append(r.ApiKeys, a)
		}
		for f, level := range features {
			x := kmsg.NewApiVersionsResponseFinalizedFeature()
			x.Name, x.MinVersionLevel, x.MaxVersionLevel = f, 1, level
			r.FinalizedFeatures = append(r.FinalizedFeatures, x)
		}
		return r
	}
	chain, _ := chain.New(nil, noEnd{}, "")
	v := NewVersions("c", nil, []*kmsg.ApiVersionsResponse{
		answer(17, map[string]int16{"group.version": 1, "metadata.version": 25}, kmsg.ConsumerGroupHeartbeat),
		nil, // never seen: limits nothing
		answer(16, map[string]int16{"metadata.version": 21}, kmsg.ConsumerGroupHeartbeat, kmsg.ListTransactions),
	}, chain)
	if got := v.Ranges()[kmsg.Fetch]; got != [2]int16{3, 16} {
		t.Errorf("Fetch %v", got)
	}
	if got := v.Ranges()[kmsg.Produce]; got[0] != 0 {
		t.Errorf("Produce from %d: librdkafka would turn compression off", got[0])
	}
	if v.Offers(kmsg.ConsumerGroupHeartbeat, 0) {
		t.Error("3.9 advertises KIP-848 heartbeats and refuses them: its feature is not finalized there")
	}
	for _, k := range []kmsg.Key{kmsg.ShareFetch, kmsg.ShareAcknowledge, kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe, kmsg.DescribeShareGroupOffsets, kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets} {
		both := []*kmsg.ApiVersionsResponse{answer(18, map[string]int16{"share.version": 1}, k), answer(18, map[string]int16{"share.version": 1}, k)}
		if !NewVersions("c", nil, both, chain).Offers(k, 0) {
			t.Errorf("%s is not offered, though both clusters have it", kmsg.NameForKey(int16(k)))
		}
		both[1] = answer(18, map[string]int16{"share.version": 0}, k)
		if NewVersions("c", nil, both, chain).Offers(k, 0) {
			t.Errorf("%s is offered, though the feature is off on one cluster", kmsg.NameForKey(int16(k)))
		}
	}
	if v.Offers(kmsg.ListTransactions, 0) {
		t.Error("an API of one cluster alone is offered")
	}
	all := NewVersions("c", nil, nil, chain)
	if !v.Narrower(all) || all.Narrower(v) {
		t.Error("narrower")
	}
}
