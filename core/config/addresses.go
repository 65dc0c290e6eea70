package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// socket is what a file has the gateway listen on: a host, and a range of ports.
type socket struct {
	host        string
	first, last int
	who         string
}

// addresses collects what is listened on, to find what is there twice, and clusters that are the
// gateway itself.
type addresses struct {
	v     *validator
	bound []socket
	told  []socket // what clients are told, where they can't reach it as it is bound
}

// bind notes a range of ports, unless one of them is taken.
func (a *addresses) bind(host string, first, last int, path []string) {
	if first == 0 {
		return
	}
	for _, b := range a.bound {
		if port := max(first, b.first); port <= min(last, b.last) && (sameHost(b.host, host) || anyHost(b.host) || anyHost(host)) {
			a.v.bad(path, "%s is also the address of %s", net.JoinHostPort(host, strconv.Itoa(port)), b.who)
			return
		}
	}
	a.bound = append(a.bound, socket{host, first, last, strings.Join(path, ".")})
}

// listen notes an address, and says what is wrong with it.
func (a *addresses) listen(addr string, path []string) {
	if a.v.address(path, addr) {
		host, port := split(addr)
		a.bind(host, port, port, path)
	}
}

// clusters refuses clusters with a broker that is also another one's, and warns of those that are
// the gateway itself.
func (a *addresses) clusters(s *Snapshot) {
	taken := map[string]string{}
	for _, c := range s.Clusters {
		for i, addr := range c.Bootstrap {
			at := []string{"clusters", c.Name, "bootstrap", strconv.Itoa(i)}
			host, port := split(addr)
			if port == 0 {
				continue
			}
			key := net.JoinHostPort(folded(host), strconv.Itoa(port))
			if other, ok := taken[key]; ok && other != c.Name {
				a.v.bad(at, "%s is also a bootstrap address of cluster %q: a broker belongs to one cluster", addr, other)
			}
			taken[key] = c.Name
			a.own(s, at, addr, host, port)
		}
	}
}

// own warns of a broker that is the gateway: what connects there is refused, and the other clusters
// are served.
func (a *addresses) own(s *Snapshot, at []string, addr, host string, port int) {
	for _, b := range a.bound {
		if b.first <= port && port <= b.last && reaches(b.host, host) {
			a.v.warn(at, "%s is where the gateway itself listens (%s), and will be refused: name the brokers of the cluster", addr, b.who)
			return
		}
	}
	for _, t := range a.told {
		if t.first <= port && port <= t.last && sameHost(t.host, host) {
			a.v.warn(at, "%s is also what clients are told to connect to (%s): the gateway must not reach itself by it", addr, t.who)
			return
		}
	}
	for i := range s.VirtualClusters {
		vc := &s.VirtualClusters[i]
		spans := s.Spans(vc)
		cluster, node, ok := vc.Listen.Route(spans, host)
		if !ok {
			continue
		}
		if _, told := vc.Listen.Advertised(spans, cluster, node); int(told) == port {
			a.v.warn(at, "%s is also what clients of virtual cluster %q are told to connect to: the gateway must not reach itself by it", addr, vc.Name)
		}
	}
}

func anyHost(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }

// folded is a host as it is compared.
func folded(h string) string {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if ip := net.ParseIP(h); ip != nil {
		return ip.String()
	}
	if h == "localhost" {
		return "127.0.0.1"
	}
	return h
}

// sameHost reports two ways to write a host.
func sameHost(a, b string) bool {
	return folded(a) == folded(b) || strings.EqualFold(a, "localhost") && folded(b) == "::1" || strings.EqualFold(b, "localhost") && folded(a) == "::1"
}

// reaches reports that a connection to a host ends at what is bound to another, as far as the file
// tells.
func reaches(bound, host string) bool {
	ip := net.ParseIP(folded(host))
	here := host == "" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
	if anyHost(bound) {
		return here || sameHost(bound, host)
	}
	on := net.ParseIP(folded(bound))
	return sameHost(bound, host) || (anyHost(host) && on != nil && on.IsLoopback())
}

// checkAddress is what is wrong with an address, or nil.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	n, perr := strconv.Atoi(port)
	switch {
	case err != nil || perr != nil || n < 0 || n > 65535:
		return fmt.Errorf("%q is not an address like 127.0.0.1:9092", addr)
	case strings.Contains(host, " "):
		return fmt.Errorf("%q has a space in its host", addr)
	}
	return nil
}
