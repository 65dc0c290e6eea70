// Package config turns one YAML file into an immutable Snapshot, watches the file, and makes
// minimal edits to it. Everything wrong with a file is reported at once, each with file:line:col.
package config

import (
	"cmp"
	"reflect"
	"slices"
	"time"
)

// Snapshot is one state of the file. It is immutable.
type Snapshot struct {
	Path     string `koanf:"-"`
	Source   []byte `koanf:"-"`
	Revision string `koanf:"-"` // the first 12 hex digits of the content's SHA-256

	Admin           Admin            `koanf:"admin"`
	State           State            `koanf:"state"`
	Limits          Limits           `koanf:"limits"`
	Failover        Failover         `koanf:"failover"`
	Telemetry       Telemetry        `koanf:"telemetry"`
	Clusters        []Cluster        `koanf:"-"` // in the order of the file
	VirtualClusters []VirtualCluster `koanf:"-"`

	// Warnings are about what is in force all the same, but is probably not meant.
	Warnings Errors `koanf:"-"`

	masked     any
	secrets    secrets
	references map[string]string // what they stand for
}

// Admin is the HTTP API for operators.
type Admin struct {
	// Listen is the address, host:port; empty turns the API off.
	Listen string `koanf:"listen"`
	// Users may use the API with Basic auth; without users it is open.
	Users []User `koanf:"users"`
	// Hosts are the names, besides localhost and addresses, by which the API may be called.
	Hosts []string `koanf:"hosts"`
	// DeleteGrace is how long the old home goes on serving after DELETE of a topic mapping.
	DeleteGrace time.Duration `koanf:"delete_grace"`
}

// User is a name and password of the admin API.
type User struct {
	Name     string `koanf:"name"`
	Password string `koanf:"password"`
	// Role is admin, who may do everything, or reader, who may only look; by default admin.
	Role string `koanf:"role" oneof:",admin,reader"`
}

// Edits reports whether the user may change anything.
func (u User) Edits() bool { return u.Role != "reader" }

// State is where the catalog is kept.
type State struct {
	// Dir is relative to the folder of the file.
	Dir string `koanf:"dir"`
}

// Limits bound what clients can make the gateway hold. Sizes are bytes, or strings like "64MiB".
type Limits struct {
	FrameBytes      int           `koanf:"frame_bytes"`
	SessionInFlight int           `koanf:"session_in_flight"`
	SessionBytes    int64         `koanf:"session_bytes"`
	ProcessBytes    int64         `koanf:"process_bytes"` // 0: a quarter of the memory limit
	Connections     int           `koanf:"connections"`   // per virtual cluster; 0: none
	IdleTimeout     time.Duration `koanf:"idle_timeout"`
	// Drain is how long requests in flight may take when the gateway ends.
	Drain time.Duration `koanf:"drain"`
	// BatchBytes is what a record batch may take when it is decoded; 0: the larger of 64 MiB and 16
	// times its size on the wire.
	BatchBytes int64 `koanf:"batch_bytes"`
	// FetchPartitions is the most that a connection's fetch session may hold (KIP-227); 0: no
	// sessions.
	FetchPartitions int `koanf:"fetch_session_partitions"`
}

// Failover holds the times and sizes of moves.
type Failover struct {
	Hold         time.Duration `koanf:"hold"`          // from hold to commit or abort
	Request      time.Duration `koanf:"request"`       // longest hold of one request, from its arrival
	Unreachable  time.Duration `koanf:"unreachable"`   // without an answer before a home counts as gone
	RetryFor     time.Duration `koanf:"retry_for"`     // how long a refused move is tried again
	MaxDrain     time.Duration `koanf:"max_drain"`     // replication lag, in time, that a move accepts
	Calm         time.Duration `koanf:"calm"`          // longest wait, before a hold, for a home that answers produces slowly
	CompareLimit int64         `koanf:"compare_limit"` // bytes per partition
	Align        Align         `koanf:"align"`
	Fence        Fence         `koanf:"fence"`
	Concurrent   int           `koanf:"concurrent"` // topics in hold at once
	Atomic       bool          `koanf:"atomic"`     // the moves of one edit commit together or not at all
	// IgnoreHeaders names headers that the replicator adds; comparisons leave them out.
	IgnoreHeaders []string `koanf:"ignore_headers"`
	// ReplicatorTopics are globs of topics that a replicator keeps for itself, besides those that
	// are known; see Own. With "!" before it, a glob takes topics out.
	ReplicatorTopics []string `koanf:"replicator_topics"`
	// BatchBytes is that of Limits.
	BatchBytes int64 `koanf:"-"`
}

// Align is how copies are aligned in the background whose records do not stand at one distance.
type Align struct {
	Rate int64 `koanf:"rate"` // bytes a second, of both sides
}

// Fence is the service that keeps writers that go past the gateway away from a topic while it
// moves; without a URL nobody is asked.
type Fence struct {
	URL     string            `koanf:"url"`
	Headers map[string]string `koanf:"headers" needs:"url"` // sent with each call
	TLS     *ClientTLS        `koanf:"tls" needs:"url"`
	Timeout time.Duration     `koanf:"timeout"` // of a call
}

// Telemetry configures logs, traces and metrics.
type Telemetry struct {
	Log     Log     `koanf:"log"`
	Traces  Traces  `koanf:"traces"`
	Metrics Metrics `koanf:"metrics"`
}

// Traces configures OpenTelemetry traces over OTLP; without an endpoint there are none.
type Traces struct {
	Endpoint    string  `koanf:"endpoint"`
	Protocol    string  `koanf:"protocol" oneof:",grpc,http"`
	Insecure    bool    `koanf:"insecure"`
	SampleRatio float64 `koanf:"sample_ratio"` // negative: as the OTEL_* variables say
	// Errors also traces requests that are answered with an error, Slower those that take longer.
	Errors bool          `koanf:"errors"`
	Slower time.Duration `koanf:"slower"`
	// ParentBased samples what producers have sampled, and not what they have not; SampleRatio is
	// for the rest.
	ParentBased bool `koanf:"parent_based"`
	// Spans says which interceptors have spans: slow, all or none.
	Spans   string            `koanf:"spans" oneof:"slow,all,none"`
	Headers map[string]string `koanf:"headers"` // sent with what is exported
	TLS     *ClientTLS        `koanf:"tls"`
}

// Metrics configures what is shown of topics, and the export of metrics over OTLP: without an
// endpoint there is none.
type Metrics struct {
	Endpoint string        `koanf:"endpoint"`
	Protocol string        `koanf:"protocol" oneof:",grpc,http"`
	Insecure bool          `koanf:"insecure"`
	Interval time.Duration `koanf:"interval"` // 0: as the OTEL_* variables say
	// Headers are sent with what is exported.
	Headers map[string]string `koanf:"headers"`
	TLS     *ClientTLS        `koanf:"tls"`
	// Topics are globs of the virtual topics that have series of their own, Groups of the consumer
	// groups, Clients of the client ids.
	Topics  []string `koanf:"topics"`
	Groups  []string `koanf:"groups"`
	Clients []string `koanf:"clients"`
}

// Cluster is a physical cluster.
type Cluster struct {
	Name      string   `koanf:"-"`
	Bootstrap []string `koanf:"bootstrap" needed:"always"`
	Aliases   []string `koanf:"aliases"`
	// Slot numbers the cluster in virtual node ids; by default its place in the file.
	Slot int `koanf:"slot"`
	// NodeRange is the range of node ids, "first-last"; it decides how many ports are needed.
	NodeRange string `koanf:"nodes" form:"(N-N)?"`
	Nodes     Nodes  `koanf:"-"`
	// TLS is how its brokers are spoken to; nil: in plain text. SASL is what the gateway shows of
	// itself; nil: nothing.
	TLS  *ClusterTLS `koanf:"tls"`
	SASL *SASL       `koanf:"sasl"`
	// written is what the file calls the cluster, if that is not its name; see Snapshot.Renamed.
	written string
}

// InFile is the name that the file has for the cluster.
func (c Cluster) InFile() string { return cmp.Or(c.written, c.Name) }

// Same reports two configurations of which the requests to a cluster can't tell the difference.
func (c Cluster) Same(o Cluster) bool {
	c.Aliases, o.Aliases, c.written, o.written = nil, nil, "", ""
	return reflect.DeepEqual(c, o)
}

// Nodes is a range of node ids, both ends included.
type Nodes struct{ First, Last int32 }

// VirtualCluster is what clients see as one cluster.
type VirtualCluster struct {
	Name   string `koanf:"-"`
	Listen Listen `koanf:"listen"`
	// Clusters names the clusters it spans; by default all.
	Clusters []string     `koanf:"clusters"`
	Chain    []ChainEntry `koanf:"-"`
}

// ChainEntry is one interceptor of a chain.
type ChainEntry struct {
	Type    string
	Section Section
}

// Cluster returns a cluster by name or alias.
func (s *Snapshot) Cluster(name string) (*Cluster, bool) {
	for i := range s.Clusters {
		c := &s.Clusters[i]
		if c.Name == name {
			return c, true
		}
		for _, a := range c.Aliases {
			if a == name {
				return c, true
			}
		}
	}
	return nil, false
}

// Renamed returns the snapshot with the names that clusters had before, by those that the file has:
// the file's become aliases. So a cluster that the file calls otherwise is the same one to all that
// is known of it.
func (s *Snapshot) Renamed(names map[string]string) *Snapshot {
	r := *s
	r.Clusters = slices.Clone(s.Clusters)
	for i := range r.Clusters {
		c := &r.Clusters[i]
		before, ok := names[c.Name]
		if !ok {
			continue
		}
		c.Aliases = append(slices.DeleteFunc(slices.Clone(c.Aliases), func(a string) bool { return a == before }), c.Name)
		c.Name, c.written = before, c.Name
	}
	return &r
}

// VirtualCluster returns a virtual cluster by name.
func (s *Snapshot) VirtualCluster(name string) (*VirtualCluster, bool) {
	for i := range s.VirtualClusters {
		if s.VirtualClusters[i].Name == name {
			return &s.VirtualClusters[i], true
		}
	}
	return nil, false
}

// Spans lists the clusters that a virtual cluster spans, in the order of the file.
func (s *Snapshot) Spans(v *VirtualCluster) []Cluster {
	if len(v.Clusters) == 0 {
		return s.Clusters
	}
	var out []Cluster
	for _, c := range s.Clusters {
		for _, n := range v.Clusters {
			if f, ok := s.Cluster(n); ok && f.Name == c.Name {
				out = append(out, c)
			}
		}
	}
	return out
}

// Masked is the effective configuration with passwords and everything that came from the
// environment or from files masked.
func (s *Snapshot) Masked() any { return s.masked }

func defaults() Snapshot {
	return Snapshot{
		Admin:  Admin{DeleteGrace: 30 * time.Second},
		State:  State{Dir: "./state"},
		Limits: Limits{FrameBytes: 100 << 20, SessionInFlight: 1024, SessionBytes: 64 << 20, IdleTimeout: 10 * time.Minute, Drain: 10 * time.Second, FetchPartitions: 10_000},
		Failover: Failover{
			Hold: 10 * time.Second, Request: 15 * time.Second, Unreachable: 10 * time.Second, RetryFor: time.Hour,
			MaxDrain: 3 * time.Second, Calm: 3 * time.Second, CompareLimit: 1 << 30, Align: Align{Rate: 50 << 20}, Fence: Fence{Timeout: 3 * time.Second}, Concurrent: 256,
		},
		Telemetry: Telemetry{Log: Log{Level: "info", Format: "text", Repeats: 10 * time.Second}, Traces: Traces{SampleRatio: -1, Errors: true, Spans: "slow"}},
	}
}
