package gateway

import (
	"maps"
	"net"
	"slices"
)

// listens reports that a virtual cluster listens at an address of this machine.
func (g *Gateway) listens(a *net.TCPAddr) bool {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.virtual))
	g.mu.Unlock()
	return slices.ContainsFunc(all, func(v *virtual) bool { return v.server.Listens(a) })
}

// gateways lists the ids of this gateway and of those behind its clusters.
func (g *Gateway) gateways() []string {
	g.mu.Lock()
	clusters := slices.Collect(maps.Values(g.clusters))
	g.mu.Unlock()
	var behind []string
	for _, c := range clusters {
		behind = append(behind, c.Gateways()...)
	}
	slices.Sort(behind)
	return append([]string{g.id}, slices.Compact(behind)...)
}
