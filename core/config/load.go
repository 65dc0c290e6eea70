package config

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Load reads and parses a file. Everything wrong with it comes as one Errors.
func Load(path string) (*Snapshot, error) {
	s, err := Survey(path)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Survey is Load for who tells all that is wrong with a file: also with an error there is a
// snapshot, of what could be decoded, unless nothing could.
func Survey(path string) (*Snapshot, error) {
	source, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s, errs := survey(path, source, nil)
	return s, errs.Err()
}

// readFile reads a file, or so much of it that Parse refuses it.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, sizeLimit+1))
}

// Parse parses the content of a file; path is for messages and relative paths.
func Parse(path string, source []byte) (*Snapshot, error) {
	return whole(survey(path, source, nil))
}

// Edited parses another content of the snapshot's file. What references stand for stays where they
// can't be resolved any more: a secret that has gone is no reason to refuse an edit of something
// else.
func (s *Snapshot) Edited(source []byte) (*Snapshot, error) {
	return whole(survey(s.Path, source, s.references))
}

func whole(s *Snapshot, errs Errors) (*Snapshot, error) {
	if len(errs) > 0 {
		return nil, errs.sorted()
	}
	return s, nil
}

// survey parses a file as far as it can be, and tells all that is wrong with it.
func survey(path string, source []byte, before map[string]string) (*Snapshot, Errors) {
	_, root, errs := parse(path, source)
	if root == nil {
		return nil, errs
	}
	masked := clone(root)
	refs := references{file: path, before: before, values: map[string]string{}}
	refs.expand(root, masked, nil)
	s := defaults()
	s.secrets = refs.secrets
	slices.SortFunc(s.secrets, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	sum := sha256.Sum256(source)
	s.Path, s.Source, s.Revision, s.references = path, source, hex.EncodeToString(sum[:])[:12], refs.values
	errs = append(errs, refs.errs...)
	errs = errs.And(s.decode(path, root)...)
	errs = errs.And(s.validate(path, root, errs)...)
	s.Failover.BatchBytes = s.Limits.BatchBytes
	s.masked = s.effective(masked)
	if !filepath.IsAbs(s.State.Dir) {
		s.State.Dir = filepath.Join(filepath.Dir(path), s.State.Dir)
	}
	_ = s.secrets.clean(s.Warnings)
	return &s, s.secrets.clean(errs)
}

// file is the shape of the top of the file, for checks; chains are decoded by their owners.
type file struct {
	Admin           Admin              `koanf:"admin"`
	State           State              `koanf:"state"`
	Limits          Limits             `koanf:"limits"`
	Failover        Failover           `koanf:"failover"`
	Telemetry       Telemetry          `koanf:"telemetry"`
	Clusters        map[string]Cluster `koanf:"clusters" needed:"always"`
	VirtualClusters map[string]virtual `koanf:"virtual_clusters" needed:"always"`
}

type virtual struct {
	Listen   Listen   `koanf:"listen"`
	Clusters []string `koanf:"clusters"`
	Chain    []any    `koanf:"chain" needed:"always"`
}

func (s *Snapshot) decode(path string, root *yaml.Node) (errs Errors) {
	errs = check(path, root, reflect.TypeFor[file](), nil)
	f := file{Admin: s.Admin, State: s.State, Limits: s.Limits, Failover: s.Failover, Telemetry: s.Telemetry}
	errs = append(errs, unmarshal(path, root, nil, &f)...)
	s.Admin, s.State, s.Limits, s.Failover, s.Telemetry = f.Admin, f.State, f.Limits, f.Failover, f.Telemetry
	each(find(root, "clusters"), func(i int, k, n *yaml.Node) {
		name := k.Value
		c := f.Clusters[name]
		c.Name = name
		if find(n, "slot") == nil {
			c.Slot = i
		}
		s.Clusters = append(s.Clusters, c)
	})
	each(find(root, "virtual_clusters"), func(_ int, k, n *yaml.Node) {
		name := k.Value
		v := VirtualCluster{Name: name, Listen: f.VirtualClusters[name].Listen, Clusters: f.VirtualClusters[name].Clusters}
		chain := find(n, "chain")
		if chain == nil || isNull(chain) {
			at := []string{"virtual_clusters", name}
			errs = errs.And(errorAt(path, n, at, "chain is missing; `chain: []` passes everything through").concerns(at, "chain"))
		} else {
			errs = append(errs, v.decodeChain(path, chain, []string{"virtual_clusters", name, "chain"})...)
		}
		s.VirtualClusters = append(s.VirtualClusters, v)
	})
	return errs
}

func (v *VirtualCluster) decodeChain(file string, chain *yaml.Node, path []string) (errs Errors) {
	for i, n := range chain.Content {
		at := sub(path, strconv.Itoa(i))
		if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
			errs = append(errs, errorAt(file, n, at, "want one interceptor: `- type: {settings}`"))
			continue
		}
		v.Chain = append(v.Chain, ChainEntry{Type: n.Content[0].Value, Section: Section{file: file, node: n.Content[1], path: sub(at, n.Content[0].Value)}})
	}
	return errs
}

// CheckTypes reports interceptors whose type nobody knows.
func (s *Snapshot) CheckTypes(known []string) error {
	var errs Errors
	for _, v := range s.VirtualClusters {
		for _, c := range v.Chain {
			if e := c.Unknown(known); e != nil {
				errs = append(errs, e)
			}
		}
	}
	return errs.Err()
}

// Unknown is what is wrong with an interceptor whose type nobody knows, or nil.
func (c ChainEntry) Unknown(known []string) *Error {
	if slices.Contains(known, c.Type) {
		return nil
	}
	return c.Section.Errorf(nil, "unknown interceptor %q%s", c.Type, nearest(c.Type, known))
}

// effective adds the defaults to the masked file.
func (s *Snapshot) effective(masked *yaml.Node) any {
	var m map[string]any
	if err := masked.Decode(&m); err != nil {
		return nil
	}
	l, f := s.Limits, s.Failover
	fence := map[string]any{"url": "", "headers": map[string]any{}, "tls": nil}
	if written, ok := m["failover"].(map[string]any); ok {
		if written, ok := written["fence"].(map[string]any); ok {
			maps.Copy(fence, written)
		}
	}
	fence["timeout"] = f.Fence.Timeout.String()
	m["limits"] = map[string]any{
		"frame_bytes": l.FrameBytes, "session_in_flight": l.SessionInFlight, "session_bytes": l.SessionBytes,
		"process_bytes": l.ProcessBytes, "connections": l.Connections, "idle_timeout": l.IdleTimeout.String(), "drain": l.Drain.String(),
		"fetch_session_partitions": l.FetchPartitions, "batch_bytes": l.BatchBytes,
	}
	m["failover"] = map[string]any{
		"hold": f.Hold.String(), "request": f.Request.String(), "unreachable": f.Unreachable.String(), "retry_for": f.RetryFor.String(),
		"max_drain": f.MaxDrain.String(), "calm": f.Calm.String(), "compare_limit": f.CompareLimit, "align": map[string]any{"rate": f.Align.Rate}, "fence": fence, "concurrent": f.Concurrent, "atomic": f.Atomic, "ignore_headers": f.IgnoreHeaders, "replicator_topics": f.ReplicatorTopics,
	}
	return m
}
