package config

import (
	"net"
	"path"
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
	type binding struct{ host, who string }
	bound := map[int][]binding{} // by port
	bind := func(addr string, path []string) {
		host, port := split(addr)
		if port == 0 {
			return
		}
		for _, b := range bound[port] {
			if b.host == host || anyHost(b.host) || anyHost(host) {
				v.bad(path, "%s is also the address of %s", addr, b.who)
				return
			}
		}
		bound[port] = append(bound[port], binding{host, strings.Join(path, ".")})
	}
	if s.Admin.Listen != "" {
		v.address([]string{"admin", "listen"}, s.Admin.Listen)
		bind(s.Admin.Listen, []string{"admin", "listen"})
		if len(s.Admin.Users) == 0 && !loopback(s.Admin.Listen) {
			v.bad([]string{"admin", "listen"}, "%q can be reached from other machines, and without users everybody may do everything: name `users`, or listen on 127.0.0.1", s.Admin.Listen)
		}
	}
	for i, u := range s.Admin.Users {
		if !slices.Contains([]string{"", "admin", "reader"}, u.Role) {
			v.bad([]string{"admin", "users", strconv.Itoa(i), "role"}, "%q is not one of admin, reader", u.Role)
		}
	}
	for i := range s.VirtualClusters {
		s.validateVirtual(v, &s.VirtualClusters[i], bind)
	}
	s.validateNumbers(v)
	s.validateLog(v)
	return v.errs
}

// loopback reports an address that only this machine reaches.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // an error of its own
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
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
			first, last, err := numbers(c.NodeRange)
			if err != nil || first < 0 || last < first || last >= 1<<20 {
				v.bad(append(at, "nodes"), "%q is not a range of node ids like 0-19", c.NodeRange)
				continue
			}
			c.Nodes = Nodes{int32(first), int32(last)}
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
	l, f := s.Limits, s.Failover
	for path, n := range map[string]int64{
		"limits.frame_bytes": int64(l.FrameBytes), "limits.session_in_flight": int64(l.SessionInFlight), "limits.session_bytes": l.SessionBytes,
		"failover.hold": int64(f.Hold), "failover.request": int64(f.Request), "failover.concurrent": int64(f.Concurrent),
	} {
		if n <= 0 {
			v.bad(strings.Split(path, "."), "must be above 0")
		}
	}
	for path, n := range map[string]int64{
		"limits.process_bytes": l.ProcessBytes, "limits.batch_bytes": l.BatchBytes, "limits.connections": int64(l.Connections), "limits.idle_timeout": int64(l.IdleTimeout), "limits.drain": int64(l.Drain), "limits.fetch_session_partitions": int64(l.FetchPartitions),
		"failover.unreachable": int64(f.Unreachable), "failover.retry_for": int64(f.RetryFor), "failover.max_drain": int64(f.MaxDrain),
		"telemetry.traces.slower": int64(s.Telemetry.Traces.Slower), "telemetry.metrics.interval": int64(s.Telemetry.Metrics.Interval), "failover.compare_limit": f.CompareLimit, "failover.calm": int64(f.Calm), "admin.delete_grace": int64(s.Admin.DeleteGrace),
	} {
		if n < 0 {
			v.bad(strings.Split(path, "."), "must not be negative")
		}
	}
	if r := s.Telemetry.Traces.SampleRatio; r != -1 && (r < 0 || r > 1) {
		v.bad([]string{"telemetry", "traces", "sample_ratio"}, "must be from 0 to 1")
	}
	traces, metrics := s.Telemetry.Traces, s.Telemetry.Metrics
	for signal, to := range map[string]struct{ endpoint, protocol string }{"traces": {traces.Endpoint, traces.Protocol}, "metrics": {metrics.Endpoint, metrics.Protocol}} {
		if !slices.Contains([]string{"", "grpc", "http"}, to.protocol) {
			v.bad([]string{"telemetry", signal, "protocol"}, "%q is not one of grpc, http", to.protocol)
		}
		if to.endpoint != "" {
			v.address([]string{"telemetry", signal, "endpoint"}, to.endpoint)
		}
	}
	for i, glob := range f.ReplicatorTopics {
		if _, err := path.Match(strings.TrimPrefix(glob, "!"), ""); err != nil || strings.TrimPrefix(glob, "!") == "" {
			v.bad([]string{"failover", "replicator_topics", strconv.Itoa(i)}, "%q is not a glob", glob)
		}
	}
	for i, glob := range metrics.Topics {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			v.bad([]string{"telemetry", "metrics", "topics", strconv.Itoa(i)}, "%q is not a glob", glob)
		}
	}
}
