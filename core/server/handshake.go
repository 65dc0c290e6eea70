package server

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// handshake accepts TLS and finds the node by the server name.
func (s *session) handshake(cfg *tls.Config) error {
	t := tls.Server(s.conn, cfg)
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.conn = t
	s.mu.Unlock()
	s.shared.ServerName = t.ConnectionState().ServerName
	if s.server.route != nil && s.shared.Node == plugin.AnyNode {
		if cluster, node, ok := s.server.route(t.ConnectionState().ServerName); ok {
			s.mu.Lock()
			s.shared.Cluster, s.shared.Node = cluster, node
			s.mu.Unlock()
		}
	}
	return nil
}
