package config

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// validator collects what is wrong beyond shapes and types.
type validator struct {
	top    Section
	before Errors // what is known to be wrong
	errs   Errors
	// warnings are of what is not wrong.
	warnings Errors
}

func (v *validator) bad(path []string, format string, args ...any) {
	v.errs = append(v.errs, v.top.Errorf(path, format, args...))
}

// missing is bad of a key that is not there.
func (v *validator) missing(path []string, key, format string, args ...any) {
	v.errs = append(v.errs, v.top.Errorf(path, format, args...).concerns(path, key))
}

func (v *validator) warn(path []string, format string, args ...any) {
	v.warnings = append(v.warnings, v.top.Warnf(path, format, args...))
}

func (v *validator) address(path []string, addr string) bool {
	err := checkAddress(addr)
	if err != nil {
		v.bad(path, "%v", err)
	}
	return err == nil
}

// validate says what is wrong beyond shapes and types, of which before says what is. It fills in
// what follows from others.
func (s *Snapshot) validate(file string, root *yaml.Node, before Errors) Errors {
	v := &validator{top: Section{file: file, node: root}, before: before}
	if len(s.Clusters) == 0 {
		v.bad([]string{"clusters"}, "name at least one cluster")
	}
	if len(s.VirtualClusters) == 0 {
		v.bad([]string{"virtual_clusters"}, "name at least one virtual cluster")
	}
	numbered := s.validateClusters(v)
	a := &addresses{v: v}
	if s.Admin.Listen != "" {
		a.listen(s.Admin.Listen, []string{"admin", "listen"})
		if len(s.Admin.Users) == 0 && !loopback(s.Admin.Listen) {
			v.bad([]string{"admin", "listen"}, "%q can be reached from other machines, and without users everybody may do everything: name `users`, or listen on 127.0.0.1", s.Admin.Listen)
		}
	}
	for i := range s.VirtualClusters {
		s.validateVirtual(v, &s.VirtualClusters[i], a, numbered)
	}
	a.clusters(s)
	s.validateNumbers(v)
	s.validateLog(v)
	s.Warnings = v.warnings.sorted()
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

// validateClusters reports whether it is known which node has which number.
func (s *Snapshot) validateClusters(v *validator) (numbered bool) {
	numbered = len(s.Clusters) > 0 && !slices.ContainsFunc(v.before, func(e *Error) bool {
		return slices.ContainsFunc(e.about, func(at string) bool { return at == "clusters" || strings.HasPrefix(at, "clusters"+between) })
	})
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
			numbered = false
		}
		slots[c.Slot] = c.Name
		if len(c.Bootstrap) == 0 {
			v.missing(at, "bootstrap", "bootstrap is missing: a list of host:port")
		}
		for j, b := range c.Bootstrap {
			v.address(append(at, "bootstrap", strconv.Itoa(j)), b)
		}
		c.validateDoor(v, at)
		c.Nodes = Nodes{0, 19}
		if c.NodeRange != "" {
			first, last, err := numbers(c.NodeRange)
			if err != nil || first < 0 || last < first || last >= 1<<20 {
				v.bad(append(at, "nodes"), "%q is not a range of node ids like 0-19", c.NodeRange)
				numbered = false
				continue
			}
			c.Nodes = Nodes{int32(first), int32(last)}
		}
	}
	return numbered
}

func (s *Snapshot) validateVirtual(v *validator, vc *VirtualCluster, a *addresses, numbered bool) {
	at := []string{"virtual_clusters", vc.Name}
	for i, n := range vc.Clusters {
		if _, ok := s.Cluster(n); !ok && len(s.Clusters) > 0 {
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
		v.missing(at, "bootstrap", "bootstrap is missing: the address that clients are given, like 127.0.0.1:6969")
	} else {
		a.listen(l.Bootstrap, append(slices.Clone(at), "bootstrap"))
	}
	at = append(at, "brokers")
	if l.Brokers.SNI != "" {
		if !strings.Contains(l.Brokers.SNI, "$(node)") {
			v.bad(append(at, "sni"), "%q must contain $(node)", l.Brokers.SNI)
		}
		if l.TLS == nil {
			v.bad(append(at, "sni"), "nodes are told apart by TLS server names: add tls: {cert, key}")
		}
		return
	}
	s.validatePorts(v, vc, a, at, numbered)
}

// validatePorts checks the ports of a virtual cluster's nodes: one for each that its clusters may
// have.
func (s *Snapshot) validatePorts(v *validator, vc *VirtualCluster, a *addresses, at []string, numbered bool) {
	b, need := vc.Listen.Brokers, 0
	for _, c := range s.Spans(vc) {
		need += int(c.Nodes.Last-c.Nodes.First) + 1
	}
	if b.Ports == "" {
		many := ""
		if numbered {
			many = fmt.Sprintf(" of %d ports", need)
		}
		v.missing(at, "ports", "ports is missing: a range%s, one for each node that the clusters may have", many)
	}
	check := func(key, ports string) (first int, ok bool) {
		if ports == "" {
			return 0, false
		}
		first, last, err := portRange(ports)
		switch {
		case err != nil:
			v.bad(append(at, key), "%v", err)
		case numbered && last-first+1 < need:
			v.bad(append(at, key), "the range has %d ports, but the clusters may have %d nodes: widen it or narrow `nodes` of the clusters", last-first+1, need)
		default:
			return first, need > 0
		}
		return 0, false
	}
	bind, _ := split(vc.Listen.Bootstrap)
	told := cmp.Or(b.Host, bind)
	first, ok := check("ports", b.Ports)
	if ok && numbered {
		a.bind(cmp.Or(b.Bind, told), first, first+need-1, append(slices.Clone(at), "ports"))
	}
	if b.AdvertisedPorts != "" {
		first, ok = check("advertised_ports", b.AdvertisedPorts)
	}
	if ok && numbered {
		a.told = append(a.told, socket{told, first, first + need - 1, strings.Join(at, ".")})
	}
}

func (s *Snapshot) validateNumbers(v *validator) {
	l, f := s.Limits, s.Failover
	for path, n := range map[string]int64{
		"limits.frame_bytes": int64(l.FrameBytes), "limits.session_in_flight": int64(l.SessionInFlight), "limits.session_bytes": l.SessionBytes,
		"failover.align.rate": f.Align.Rate, "failover.hold": int64(f.Hold), "failover.request": int64(f.Request), "failover.concurrent": int64(f.Concurrent),
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
	receiver{traces.Endpoint, traces.Insecure, traces.Headers, traces.TLS}.validate(v, []string{"telemetry", "traces"})
	receiver{metrics.Endpoint, metrics.Insecure, metrics.Headers, metrics.TLS}.validate(v, []string{"telemetry", "metrics"})
	f.validateFence(v)
	for i, glob := range f.ReplicatorTopics {
		if err := CheckGlob(strings.TrimPrefix(glob, "!")); err != nil {
			v.bad([]string{"failover", "replicator_topics", strconv.Itoa(i)}, "%v", err)
		}
	}
	for i, glob := range metrics.Topics {
		if err := CheckGlob(glob); err != nil {
			v.bad([]string{"telemetry", "metrics", "topics", strconv.Itoa(i)}, "%v", err)
		}
	}
}
