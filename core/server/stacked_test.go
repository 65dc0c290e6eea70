package server

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestGatewaysAsClients: another gateway is told which are here, a client that is none is not, and
// what has come through this one before is closed.
func TestGatewaysAsClients(t *testing.T) {
	s, addr := serve(t, limits(), func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { return nil, nil })
	s.virtual.Acquire().Versions.Load().Among(func() []string { return []string{"me", "behind"} })
	ask := func(name, version string) *client {
		req := kmsg.NewPtrApiVersionsRequest()
		req.SetVersion(3)
		req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
		c := dial(t, addr)
		c.send(req)
		return c
	}
	for name, want := range map[string]int{plugin.Software: 2, "apache-kafka-java": 0} {
		_, resp := ask(name, "other.2").receive(kmsg.ApiVersions, 3)
		if got := plugin.Gateways(resp.(*kmsg.ApiVersionsResponse)); len(got) != want {
			t.Errorf("%s is told %v", name, got)
		}
	}
	ask(plugin.Software, "other.me.third").ended()
}
