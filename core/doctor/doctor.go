// Package doctor looks for what would keep a gateway from serving or from failing over: on its
// clusters, between them, and where clients are to reach it. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
	"github.com/sluice-gateway/sluice/core/wire"
)

// Level says how bad a finding is.
type Level string

// Levels of findings.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, but not as it should
	Fail Level = "fail" // it does not work
)

// Finding is what was found out about one thing.
type Finding struct {
	Level   Level  `json:"level"`
	Subject string `json:"subject"` // "cluster prod", "virtual cluster main"
	Check   string `json:"check"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Chain is the chain of a virtual cluster.
type Chain struct {
	VirtualCluster string
	Chain          *chain.Chain
}

const (
	dialLimit   = 3 * time.Second
	answerLimit = 8 * time.Second
)

type doctor struct {
	snap     *config.Snapshot
	found    func(Finding)
	clusters map[string]*upstream.Cluster // those that answer
}

// Examine looks at everything that a file describes; found gets each finding as it is made.
func Examine(ctx context.Context, snap *config.Snapshot, chains []Chain, found func(Finding)) error {
	d := &doctor{snap: snap, found: found, clusters: map[string]*upstream.Cluster{}}
	cat, err := catalog.New(nowhere{}, nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, cfg := range snap.Clusters {
		c, err := upstream.NewCluster(cfg, cat, log, &wire.Buffers{}, snap.Limits.FrameBytes, nil)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		d.cluster(ctx, c)
	}
	d.shared()
	for _, c := range chains {
		if vc, ok := snap.VirtualCluster(c.VirtualCluster); ok {
			d.listen(ctx, vc)
			d.copies(ctx, vc, c.Chain)
		}
	}
	return ctx.Err()
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...catalog.Entry) error { return nil }

func (d *doctor) say(l Level, subject, check, fix, format string, args ...any) {
	d.found(Finding{l, subject, check, fmt.Sprintf(format, args...), fix})
}

// remedies are what to do about a cluster that lives and can't be used.
var remedies = map[error]string{
	plugin.ErrNotKafka:    "name a Kafka listener with the TLS and SASL of `tls:` and `sasl:`, not another one, or another program",
	plugin.ErrCertificate: "give `tls: ca:` the certificates that the brokers' are signed by, `server_name:` the name that they are for, and `cert:` one that they know",
	plugin.ErrCredentials: "correct `sasl:`: mechanism, username or password",
	plugin.ErrUnable:      "correct what stands here of this machine",
}

// cluster looks at one cluster from its bootstrap addresses to its rights.
func (d *doctor) cluster(ctx context.Context, c *upstream.Cluster) {
	subject := "cluster " + c.Name()
	met := false
	for _, addr := range c.Config().Bootstrap {
		met = d.reach(ctx, subject, "bootstrap", addr, "correct `clusters: "+c.Name()+": bootstrap:`, or open the way there") || met
	}
	ctx, cancel := context.WithTimeout(ctx, 4*answerLimit)
	defer cancel()
	ask, stop := context.WithTimeout(ctx, answerLimit)
	defer stop()
	topo, err := c.Refresh(ask)
	if err != nil {
		if met {
			var broken *upstream.BrokenError
			if errors.As(err, &broken) {
				err = broken.Cause
			}
			if fix := remedies[plugin.Lives(err)]; fix != "" {
				d.say(Fail, subject, "reachable", fix, "%v", err)
				return
			}
			d.say(Fail, subject, "reachable", "make sure that it is a Kafka listener with the TLS and SASL of `tls:` and `sasl:`, and that the broker is not frozen", "no broker answers: %v", err)
		} else {
			d.say(Fail, subject, "reachable", "start the cluster, or correct what stands above", "none of its bootstrap addresses can be connected to")
		}
		return
	}
	d.clusters[c.Name()] = c
	d.say(OK, subject, "reachable", "", "cluster id %s, %d nodes, %d topics", topo.ClusterID, len(topo.Brokers), len(topo.Topics))
	d.versions(subject, topo)
	for _, b := range topo.Brokers {
		if r := c.Config().Nodes; b.ID < r.First || b.ID > r.Last {
			d.say(Fail, subject, "nodes", fmt.Sprintf("widen `clusters: %s: nodes:`, and the ports of the virtual clusters with it", c.Name()),
				"node %d is outside the range %d-%d: clients reach it only by way of another node", b.ID, r.First, r.Last)
		}
		d.reach(ctx, subject, "advertised address of node "+strconv.Itoa(int(b.ID)), net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))),
			"set the broker's advertised.listeners to an address that this machine can reach")
	}
	d.rights(ctx, subject, c)
	d.clock(ctx, subject, c)
}

// reach resolves and dials an address, and says whether that worked.
func (d *doctor) reach(ctx context.Context, subject, check, addr, fix string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		d.say(Fail, subject, check, fix, "%s: %v", addr, err)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		d.say(Fail, subject, check, "make the name "+host+" known to this machine's DNS or /etc/hosts, or use another", "%s: the name does not resolve: %v", addr, err)
		return false
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		d.say(Fail, subject, check, fix, "%s can't be connected to: %v", addr, err)
		return false
	}
	_ = conn.Close()
	d.say(OK, subject, check, "", "%s", addr)
	return true
}

// listen looks at the addresses that clients are told.
func (d *doctor) listen(ctx context.Context, vc *config.VirtualCluster) {
	subject := "virtual cluster " + vc.Name
	spans := d.snap.Spans(vc)
	host, _ := vc.Listen.Advertised(spans, spans[0].Name, spans[0].Nodes.First)
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	const fix = "set `listen: brokers: host:` to a name that clients can reach"
	switch {
	case err != nil:
		d.say(Fail, subject, "advertised name", fix, "%s does not resolve: %v", host, err)
	case slices.ContainsFunc(addrs, unspecified):
		d.say(Fail, subject, "advertised name", fix, "clients are told %s, which is no address to connect to", host)
	case slices.ContainsFunc(addrs, loopback):
		d.say(Warn, subject, "advertised name", fix, "clients are told %s, which is this machine alone", host)
	default:
		d.say(OK, subject, "advertised name", "", "%s is %s", host, strings.Join(addrs, ", "))
	}
	binds := []string{vc.Listen.Bootstrap}
	for _, c := range spans {
		for n := c.Nodes.First; n <= c.Nodes.Last; n++ {
			if a := vc.Listen.Bind(spans, c.Name, n); a != "" {
				binds = append(binds, a)
			}
		}
	}
	free, served := 0, 0
	for _, a := range binds {
		l, err := net.Listen("tcp", a)
		if err == nil {
			_ = l.Close()
			free++
			continue
		}
		conn, derr := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp", a)
		if derr != nil {
			d.say(Fail, subject, "ports", "choose an address of this machine and a port that nobody has", "%s can't be listened on: %v", a, err)
			continue
		}
		_ = conn.Close()
		served++
	}
	switch {
	case free > 0 && served > 0:
		d.say(Fail, subject, "ports", "end what has them, or choose another range in `listen: brokers: ports:`", "%d of %d ports are taken, the others free: the gateway could not start", served, len(binds))
	case served > 0:
		d.say(OK, subject, "ports", "", "somebody listens on all %d: the gateway, if it runs", served)
	case free > 0:
		d.say(OK, subject, "ports", "", "%d are free", free)
	}
}

func unspecified(a string) bool { ip := net.ParseIP(a); return ip != nil && ip.IsUnspecified() }

func loopback(a string) bool { ip := net.ParseIP(a); return ip != nil && ip.IsLoopback() }
