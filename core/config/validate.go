package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// validator collects what is wrong beyond shapes and types.
type validator struct {
	file string
	root *yaml.Node
	errs Errors
}

func (v *validator) bad(path []string, format string, args ...any) {
	s := Section{file: v.file, node: v.root}
	v.errs = append(v.errs, s.Errorf(path, format, args...))
}

func (v *validator) address(path []string, addr string) {
	host, port, err := net.SplitHostPort(addr)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 0 || n > 65535 {
		v.bad(path, "%q is not an address like 127.0.0.1:9092", addr)
	} else if strings.Contains(host, " ") {
		v.bad(path, "%q has a space in its host", addr)
	}
}

func (s *Snapshot) validate(file string, root *yaml.Node) Errors {
	v := &validator{file: file, root: root}
	if len(s.Clusters) == 0 {
		v.bad([]string{"clusters"}, "name at least one cluster")
	}
	if len(s.VirtualClusters) == 0 {
		v.bad([]string{"virtual_clusters"}, "name at least one virtual cluster")
	}
	s.validateClusters(v)
	if len(v.errs) > 0 {
		return v.errs
	}
	bound := map[string]string{}
	bind := func(addr string, path []string) {
		_, port := split(addr)
		if port == 0 {
			return
		}
		for other, who := range bound {
			oh, op := split(other)
			h, _ := split(addr)
			if op == port && (oh == h || anyHost(oh) || anyHost(h)) {
				v.bad(path, "%s is also the address of %s", addr, who)
				return
			}
		}
		bound[addr] = strings.Join(path, ".")
	}
	if s.Admin.Listen != "" {
		v.address([]string{"admin", "listen"}, s.Admin.Listen)
		bind(s.Admin.Listen, []string{"admin", "listen"})
	}
	for i := range s.VirtualClusters {
		s.validateVirtual(v, &s.VirtualClusters[i], bind)
	}
	s.validateNumbers(v)
	return v.errs
}

func anyHost(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }

func (s *Snapshot) validateClusters(v *validator) {
	names, slots := map[string]string{}, map[int]string{}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		at := []string{"clusters", c.Name}
		if c.Name == "none" {
			v.bad(at, `"none" means no cluster; give the cluster another name`)
		}
		for _, n := range append([]string{c.Name}, c.Aliases...) {
			if other, ok := names[n]; ok {
				v.bad(at, "the name %q is also one of cluster %q", n, other)
			}
			names[n] = c.Name
		}
		if other, ok := slots[c.Slot]; ok || c.Slot < 0 || c.Slot > 1000 {
			v.bad(append(at, "slot"), "slot %d is taken by cluster %q or outside 0-1000", c.Slot, other)
		}
		slots[c.Slot] = c.Name
		if len(c.Bootstrap) == 0 {
			v.bad(at, "bootstrap is missing: a list of host:port")
		}
		for j, b := range c.Bootstrap {
			v.address(append(at, "bootstrap", strconv.Itoa(j)), b)
		}
		c.Nodes = Nodes{0, 19}
		if c.NodeRange != "" {
			if n, err := fmt.Sscanf(c.NodeRange, "%d-%d", &c.Nodes.First, &c.Nodes.Last); n != 2 || err != nil || c.Nodes.First < 0 || c.Nodes.Last < c.Nodes.First || c.Nodes.Last >= 1<<20 {
				v.bad(append(at, "nodes"), "%q is not a range of node ids like 0-19", c.NodeRange)
			}
		}
	}
}

func (s *Snapshot) validateVirtual(v *validator, vc *VirtualCluster, bind func(string, []string)) {
	at := []string{"virtual_clusters", vc.Name}
	for i, n := range vc.Clusters {
		if _, ok := s.Cluster(n); !ok {
			var known []string
			for _, c := range s.Clusters {
				known = append(known, c.Name)
			}
			v.bad(append(at, "clusters", strconv.Itoa(i)), "no cluster %q%s", n, nearest(n, known))
		}
	}
	at = append(at, "listen")
	l := vc.Listen
	if l.Bootstrap == "" {
		v.bad(at, "bootstrap is missing: the address that clients are given, like 127.0.0.1:6969")
		return
	}
	v.address(append(at, "bootstrap"), l.Bootstrap)
	bind(l.Bootstrap, append(slices.Clone(at), "bootstrap"))
	at = append(at, "brokers")
	spans := s.Spans(vc)
	if l.Brokers.SNI != "" {
		if !strings.Contains(l.Brokers.SNI, "$(node)") {
			v.bad(append(at, "sni"), "%q must contain $(node)", l.Brokers.SNI)
		}
		if l.TLS == nil {
			v.bad(append(at, "sni"), "nodes are told apart by TLS server names: add tls: {cert, key}")
		}
		return
	}
	need := 0
	for _, c := range spans {
		need += int(c.Nodes.Last-c.Nodes.First) + 1
	}
	for name, r := range map[string]string{"ports": l.Brokers.Ports, "advertised_ports": l.Brokers.AdvertisedPorts} {
		if r == "" {
			if name == "ports" {
				v.bad(at, "ports is missing: a range of %d ports, one for each node that the clusters may have", need)
			}
			continue
		}
		first, last, err := portRange(r)
		switch {
		case err != nil:
			v.bad(append(at, name), "%v", err)
			return
		case last-first+1 < need:
			v.bad(append(at, name), "the range has %d ports, but the clusters may have %d nodes: widen it or narrow `nodes` of the clusters", last-first+1, need)
			return
		}
	}
	for _, c := range spans {
		for n := c.Nodes.First; n <= c.Nodes.Last; n++ {
			if addr := l.Bind(spans, c.Name, n); l.Brokers.Ports != "" {
				before := len(v.errs)
				bind(addr, append(slices.Clone(at), "ports"))
				if len(v.errs) > before {
					return
				}
			}
		}
	}
}

func (s *Snapshot) validateNumbers(v *validator) {
	positive := func(n int64, path ...string) {
		if n <= 0 {
			v.bad(path, "must be above 0")
		}
	}
	positive(int64(s.Limits.FrameBytes), "limits", "frame_bytes")
	positive(int64(s.Limits.SessionInFlight), "limits", "session_in_flight")
	positive(s.Limits.SessionBytes, "limits", "session_bytes")
	positive(int64(s.Failover.Hold), "failover", "hold")
	positive(int64(s.Failover.Request), "failover", "request")
	positive(int64(s.Failover.Concurrent), "failover", "concurrent")
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.Telemetry.Log.Level) {
		v.bad([]string{"telemetry", "log", "level"}, "%q is not one of debug, info, warn, error", s.Telemetry.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, s.Telemetry.Log.Format) {
		v.bad([]string{"telemetry", "log", "format"}, "%q is not one of text, json", s.Telemetry.Log.Format)
	}
	if !slices.Contains([]string{"grpc", "http"}, s.Telemetry.Traces.Protocol) {
		v.bad([]string{"telemetry", "traces", "protocol"}, "%q is not one of grpc, http", s.Telemetry.Traces.Protocol)
	}
}
