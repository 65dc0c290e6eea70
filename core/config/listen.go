package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Listen says where a virtual cluster listens and what it tells clients. Bind and advertised
// addresses may differ: containers, NAT, Kubernetes.
type Listen struct {
	// Bootstrap is the address to bind, host:port.
	Bootstrap string  `koanf:"bootstrap" needed:"always"`
	Brokers   Brokers `koanf:"brokers"`
	// TLS makes the listeners TLS ones.
	TLS *TLS `koanf:"tls"`
}

// Brokers gives every virtual node an address: a port of its own, or with SNI a host name.
type Brokers struct {
	// Host is what clients are told; by default the host of Bootstrap.
	Host string `koanf:"host"`
	// Bind is the host to bind; by default Host.
	Bind string `koanf:"bind"`
	// Ports is the range to bind, "first-last": a node has first + the widths of earlier slots +
	// (id - first id of its cluster).
	Ports string `koanf:"ports" form:"(N-N)?" needed:"without sni"`
	// AdvertisedPorts is the range that clients are told, where it differs from Ports.
	AdvertisedPorts string `koanf:"advertised_ports" form:"(N-N)?"`
	// SNI is a pattern of host names with $(node), e.g. "b$(node).kafka.example.com": all nodes
	// share Bootstrap's port and are told apart by the TLS server name.
	SNI string `koanf:"sni"`
	// AdvertisedPort is the port that clients are told with SNI; by default Bootstrap's.
	AdvertisedPort int `koanf:"advertised_port"`
}

// TLS names a certificate and its key, PEM files relative to the folder of the file.
type TLS struct {
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// numbers parses "6970-7009" or a single number.
func numbers(s string) (first, last int, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		b = a
	}
	if first, err = strconv.Atoi(strings.TrimSpace(a)); err == nil {
		last, err = strconv.Atoi(strings.TrimSpace(b))
	}
	return first, last, err
}

func portRange(s string) (first, last int, err error) {
	first, last, err = numbers(s)
	if err != nil || first < 1 || last > 65535 || last < first {
		return 0, 0, fmt.Errorf("%q is not a range of ports like 6970-7009", s)
	}
	return first, last, nil
}

// offset is the place of a node in the range of ports.
func offset(clusters []Cluster, cluster string, node int32) int {
	at, slot := 0, 0
	for _, c := range clusters {
		if c.Name == cluster {
			slot = c.Slot
			at += int(node - c.Nodes.First)
		}
	}
	for _, c := range clusters {
		if c.Name != cluster && c.Slot < slot {
			at += int(c.Nodes.Last-c.Nodes.First) + 1
		}
	}
	return at
}

// Virtual node ids as they stand in host names.
func virtualID(clusters []Cluster, cluster string, node int32) int32 {
	for _, c := range clusters {
		if c.Name == cluster {
			return int32(c.Slot+1)<<20 + node
		}
	}
	return -1
}

// Advertised is the address of a node that clients are told.
func (l Listen) Advertised(clusters []Cluster, cluster string, node int32) (host string, port int32) {
	bind, bindPort := split(l.Bootstrap)
	host = l.Brokers.Host
	if host == "" {
		host = bind
	}
	if l.Brokers.SNI != "" {
		if l.Brokers.AdvertisedPort != 0 {
			bindPort = l.Brokers.AdvertisedPort
		}
		return strings.ReplaceAll(l.Brokers.SNI, "$(node)", strconv.Itoa(int(virtualID(clusters, cluster, node)))), int32(bindPort)
	}
	ports := l.Brokers.Ports
	if l.Brokers.AdvertisedPorts != "" {
		ports = l.Brokers.AdvertisedPorts
	}
	first, _, _ := portRange(ports)
	return host, int32(first + offset(clusters, cluster, node))
}

// Bind is the address to bind for a node; "" with SNI.
func (l Listen) Bind(clusters []Cluster, cluster string, node int32) string {
	if l.Brokers.SNI != "" {
		return ""
	}
	host := l.Brokers.Bind
	if host == "" {
		if host = l.Brokers.Host; host == "" {
			host, _ = split(l.Bootstrap)
		}
	}
	first, _, _ := portRange(l.Brokers.Ports)
	return net.JoinHostPort(host, strconv.Itoa(first+offset(clusters, cluster, node)))
}

// Route finds the node that a TLS server name stands for.
func (l Listen) Route(clusters []Cluster, serverName string) (cluster string, node int32, ok bool) {
	for _, c := range clusters {
		for n := c.Nodes.First; n <= c.Nodes.Last; n++ {
			if h, _ := l.Advertised(clusters, c.Name, n); l.Brokers.SNI != "" && strings.EqualFold(h, serverName) {
				return c.Name, n, true
			}
		}
	}
	return "", -1, false
}

func split(addr string) (string, int) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	n, _ := strconv.Atoi(port)
	return host, n
}
