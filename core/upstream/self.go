package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Self is what a gateway knows itself by: a cluster that leads back to it would be asked by itself
// without end.
type Self struct {
	// ID is the process's own.
	ID string
	// Listens reports that the gateway listens at an address.
	Listens func(a *net.TCPAddr) bool
}

// errLoop is a cluster that leads back to this gateway.
var errLoop = errors.New("it leads back to this gateway")

// ownAddress is an error if conn leads to a listener of this process, by whatever name it was
// dialled: it ends where it begins.
func (s *Self) ownAddress(conn net.Conn) error {
	if s == nil || s.Listens == nil {
		return nil
	}
	from, ok := conn.LocalAddr().(*net.TCPAddr)
	to, okTo := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !okTo || !to.IP.IsLoopback() && !to.IP.Equal(from.IP) || !s.Listens(to) {
		return nil
	}
	return fmt.Errorf("%s is an address of this gateway: %w", to, errLoop)
}

// stacked notes which gateways are behind the cluster, as it says in ApiVersions; none if it is
// made of brokers. An error says that this one is among them.
func (c *Cluster) stacked(v *kmsg.ApiVersionsResponse) error {
	ids := plugin.Gateways(v)
	c.gateways.Store(&ids)
	if c.self != nil && slices.Contains(ids, c.self.ID) {
		return fmt.Errorf("through a gateway behind it: %w", errLoop)
	}
	return nil
}

// Gateways lists the gateways behind the cluster; none if it is made of brokers.
func (c *Cluster) Gateways() []string {
	if ids := c.gateways.Load(); ids != nil {
		return *ids
	}
	return nil
}

// Loop says how the cluster, or an address of it, leads back to this gateway, "" if none does.
func (c *Cluster) Loop() string {
	if s := c.looped(); s != "" {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.back) > 0 {
		return fmt.Sprintf("addresses of this gateway: %s", strings.Join(slices.Sorted(maps.Keys(c.back)), ", "))
	}
	return ""
}

// looped says how the cluster as a whole leads back.
func (c *Cluster) looped() string {
	if s := c.loop.Load(); s != nil {
		return *s
	}
	return ""
}

// setBack notes that an address leads back to this gateway, or does not any more.
func (c *Cluster) setBack(addr string, loop error) {
	c.mu.Lock()
	known := c.back[addr]
	if loop != nil {
		c.back[addr] = true
	} else {
		delete(c.back, addr)
	}
	c.mu.Unlock()
	if loop != nil && !known {
		c.log.Error("an address of the cluster is refused: it leads back to this gateway; look at its bootstrap and at what its brokers advertise", "address", addr)
	}
}

// setLoop notes whether an error of a check says that the cluster leads back.
func (c *Cluster) setLoop(err error) {
	said := ""
	if errors.Is(err, errLoop) {
		said = err.Error()
	}
	if c.looped() == said {
		return
	}
	c.loop.Store(&said)
	if said != "" {
		c.log.Error("the cluster is refused: it leads back to this gateway; look at its bootstrap and at what its brokers advertise", "error", said)
		c.breakLinks(fmt.Errorf("%w: %s: %w", plugin.ErrUnreachable, c.cfg.Name, errLoop))
	}
}

// ready waits until the cluster has been looked at once, and is an error if it must not be used.
func (c *Cluster) ready(ctx context.Context) error {
	if c.first != nil {
		select {
		case <-c.first:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", plugin.ErrUnreachable, ctx.Err())
		}
	}
	if c.looped() != "" {
		return fmt.Errorf("%w: %s: %w", plugin.ErrUnreachable, c.cfg.Name, errLoop)
	}
	return nil
}

// path is what a connection says of the gateways that it leads through, after those of a session.
func (c *Cluster) path(s *plugin.Session) string {
	var before []string
	if s != nil {
		if software := s.Software.Load(); software != nil {
			name, version, _ := strings.Cut(*software, " ")
			before = plugin.Path(name, version)
		}
	}
	own := "0"
	if c.self != nil {
		own = c.self.ID
	}
	return strings.Join(append(before, own), ".")
}

// introduce says through which gateways a session's link leads, if another gateway is at its end.
func (c *Cluster) introduce(l *link, s *plugin.Session) {
	if len(c.Gateways()) == 0 {
		return
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = plugin.Software, c.path(s)
	l.send(&call{key: kmsg.ApiVersions, version: 3, done: func([]byte, []byte, error) {}, encode: func(o *kafka.Out) {
		h := kafka.AppendRequestHeader(nil, kafka.Header{Key: kmsg.ApiVersions, Version: 3, ClientID: clientID, HasClientID: true})
		o.Append(h[8:])
		kafka.RequestBodyOf(req).AppendTo(o)
	}}, false)
}
