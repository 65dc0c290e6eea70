package gateway

import (
	"net"
	"slices"

	"github.com/sluice-gateway/sluice/core/upstream"
)

// self is what clusters know of the gateway that they belong to, so that they don't take it for one
// of their brokers.
func (g *Gateway) self() *upstream.Self { return &upstream.Self{ID: g.id, Listens: g.listens} }

// listens reports that the gateway listens at an address of this machine.
func (g *Gateway) listens(a *net.TCPAddr) bool {
	for _, s := range g.now().sockets {
		if b, ok := s.value.Addr().(*net.TCPAddr); ok && a.Port == b.Port && (b.IP.IsUnspecified() || b.IP.Equal(a.IP)) {
			return true
		}
	}
	return false
}

// gateways lists the ids of this gateway and of those behind its clusters.
func (g *Gateway) gateways() []string {
	var behind []string
	for _, c := range g.now().clusters {
		behind = append(behind, c.Gateways()...)
	}
	slices.Sort(behind)
	return append([]string{g.id}, slices.Compact(behind)...)
}
