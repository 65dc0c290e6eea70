package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Load reads and parses a file. Everything wrong with it comes as one Errors.
func Load(path string) (*Snapshot, error) {
	source, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, source)
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
	_, root, errs := parse(path, source)
	if len(errs) > 0 {
		return nil, errs.sorted()
	}
	masked := clone(root)
	s := defaults()
	errs = s.expand(path, root, masked, nil)
	slices.SortFunc(s.secrets, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	sum := sha256.Sum256(source)
	s.Path, s.Source, s.Revision = path, source, hex.EncodeToString(sum[:])[:12]
	errs = append(errs, s.decode(path, root)...)
	if len(errs) == 0 {
		errs = append(errs, s.validate(path, root)...)
	}
	if len(errs) > 0 {
		return nil, s.secrets.clean(errs).sorted()
	}
	s.Failover.BatchBytes = s.Limits.BatchBytes
	s.masked = s.effective(masked)
	if !filepath.IsAbs(s.State.Dir) {
		s.State.Dir = filepath.Join(filepath.Dir(path), s.State.Dir)
	}
	return &s, nil
}

// file is the shape of the top of the file, for checks; chains are decoded by their owners.
type file struct {
	Admin           Admin              `koanf:"admin"`
	State           State              `koanf:"state"`
	Limits          Limits             `koanf:"limits"`
	Failover        Failover           `koanf:"failover"`
	Telemetry       Telemetry          `koanf:"telemetry"`
	Clusters        map[string]Cluster `koanf:"clusters"`
	VirtualClusters map[string]virtual `koanf:"virtual_clusters"`
}

type virtual struct {
	Listen   Listen   `koanf:"listen"`
	Clusters []string `koanf:"clusters"`
	Chain    []any    `koanf:"chain"`
}

func (s *Snapshot) decode(path string, root *yaml.Node) (errs Errors) {
	if errs = check(path, root, reflect.TypeFor[file](), nil); len(errs) > 0 {
		return errs
	}
	f := file{Admin: s.Admin, State: s.State, Limits: s.Limits, Failover: s.Failover, Telemetry: s.Telemetry}
	if err := unmarshal(path, root, nil, &f); err != nil {
		return err
	}
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
			errs = append(errs, errorAt(path, n, []string{"virtual_clusters", name}, "chain is missing; `chain: []` passes everything through"))
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
			ok := false
			for _, k := range known {
				ok = ok || k == c.Type
			}
			if !ok {
				errs = append(errs, c.Section.Errorf(nil, "unknown interceptor %q%s", c.Type, nearest(c.Type, known)))
			}
		}
	}
	if len(errs) > 0 {
		return errs.sorted()
	}
	return nil
}

var reference = regexp.MustCompile(`\$\{(env|file):([^}]*)\}`)

// hidden stands for what must not be shown.
var hidden = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "*****"}

// expand replaces ${env:NAME} and ${file:path} in every text of n; what it replaces, and passwords,
// are masked in m, a copy of n.
func (s *Snapshot) expand(path string, n, m *yaml.Node, at []string) (errs Errors) {
	switch n.Kind {
	case yaml.ScalarNode:
		if !reference.MatchString(n.Value) {
			return nil
		}
		*m = hidden
		n.Value = reference.ReplaceAllStringFunc(n.Value, func(ref string) string {
			r := reference.FindStringSubmatch(ref)
			v, err := resolve(path, r[1], r[2])
			if err != nil {
				errs = append(errs, errorAt(path, n, at, "%v", err))
			}
			s.secrets = append(s.secrets, v)
			return v
		})
		if n.Style == 0 {
			n.Tag = "" // it may be a number, but not nothing
			if isNull(n) {
				n.Tag = "!!str"
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			errs = append(errs, s.expand(path, n.Content[i+1], m.Content[i+1], sub(at, n.Content[i].Value))...)
			if n.Content[i].Value == "password" {
				*m.Content[i+1] = hidden
				s.secrets = append(s.secrets, n.Content[i+1].Value)
			}
		}
	case yaml.SequenceNode:
		for i := range n.Content {
			errs = append(errs, s.expand(path, n.Content[i], m.Content[i], sub(at, strconv.Itoa(i)))...)
		}
	}
	return errs
}

// referenceLimit bounds what ${file:path} takes: a secret, not a device that never ends.
const referenceLimit = 1 << 20

func resolve(path, kind, name string) (string, error) {
	if kind == "env" {
		v, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return v, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	i, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !i.Mode().IsRegular() || i.Size() > referenceLimit {
		return "", fmt.Errorf("%s is not a file of at most %d bytes", name, referenceLimit)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// effective adds the defaults to the masked file.
func (s *Snapshot) effective(masked *yaml.Node) any {
	var m map[string]any
	if err := masked.Decode(&m); err != nil {
		return nil
	}
	l, f := s.Limits, s.Failover
	m["limits"] = map[string]any{
		"frame_bytes": l.FrameBytes, "session_in_flight": l.SessionInFlight, "session_bytes": l.SessionBytes,
		"process_bytes": l.ProcessBytes, "connections": l.Connections, "idle_timeout": l.IdleTimeout.String(), "drain": l.Drain.String(),
		"fetch_session_partitions": l.FetchPartitions, "batch_bytes": l.BatchBytes,
	}
	m["failover"] = map[string]any{
		"hold": f.Hold.String(), "request": f.Request.String(), "unreachable": f.Unreachable.String(), "retry_for": f.RetryFor.String(),
		"max_drain": f.MaxDrain.String(), "calm": f.Calm.String(), "compare_limit": f.CompareLimit, "concurrent": f.Concurrent, "atomic": f.Atomic, "ignore_headers": f.IgnoreHeaders, "replicator_topics": f.ReplicatorTopics,
	}
	return m
}
