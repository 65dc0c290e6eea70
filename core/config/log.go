package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Log configures the log on standard error, and the log of what operators do.
type Log struct {
	Level  string `koanf:"level" oneof:"debug,info,warn,error"`
	Format string `koanf:"format" oneof:"text,json"`
	// Levels are those of components; see Snapshot.Components.
	Levels map[string]string `koanf:"levels" oneof:"debug,info,warn,error"`
	// Repeats is for how long lines like one that was written are counted instead of written; 0
	// writes all.
	Repeats time.Duration `koanf:"repeats"`
	Access  AccessLog     `koanf:"access"`
	Audit   AuditLog      `koanf:"audit"`
}

// AccessLog says which requests of clients are logged.
type AccessLog struct {
	SampleRatio float64 `koanf:"sample_ratio"` // of all, 0 to 1
	Errors      bool    `koanf:"errors"`       // also those that are answered with an error
}

// AuditLog says where the record of what operators do is kept: in a file, or in a topic of a
// cluster; without either there is none.
type AuditLog struct {
	File    string `koanf:"file"`
	Cluster string `koanf:"cluster"`
	Topic   string `koanf:"topic"`
}

// Components lists what may have a level of its own in the log: the parts of the gateway, and the
// types of interceptors in its chains. A guest is the component wasm.NAME.
func (s *Snapshot) Components() []string {
	out := []string{"admin", "audit", "config", "failover", "gateway", "server", "upstream"}
	for _, v := range s.VirtualClusters {
		for _, c := range v.Chain {
			out = append(out, c.Type)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// CheckComponent is an error if no component has that name, so that it may have no level of its
// own.
func (s *Snapshot) CheckComponent(name string) error {
	known, kind := s.Components(), name
	if guest, ok := strings.CutPrefix(name, "wasm."); ok && guest != "" {
		kind = "wasm"
	}
	if slices.Contains(known, kind) {
		return nil
	}
	return fmt.Errorf("no component %q: %s, or wasm.NAME for a guest", name, strings.Join(known, ", "))
}

func (s *Snapshot) validateLog(v *validator) {
	l := &s.Telemetry.Log
	at := func(path ...string) []string { return append([]string{"telemetry", "log"}, path...) }
	for component := range l.Levels {
		if err := s.CheckComponent(component); err != nil {
			v.bad(at("levels", component), "%v", err)
		}
	}
	if l.Repeats < 0 {
		v.bad(at("repeats"), "must not be negative")
	}
	if r := l.Access.SampleRatio; r < 0 || r > 1 {
		v.bad(at("access", "sample_ratio"), "%s is not from 0 to 1", strconv.FormatFloat(r, 'g', -1, 64))
	}
	a := &l.Audit
	switch {
	case a.File != "" && (a.Cluster != "" || a.Topic != ""):
		v.bad(at("audit"), "say either file, or cluster and topic")
	case (a.Cluster == "") != (a.Topic == ""):
		v.bad(at("audit"), "cluster and topic belong together")
	case a.Cluster != "":
		c, ok := s.Cluster(a.Cluster)
		if !ok {
			var known []string
			for _, c := range s.Clusters {
				known = append(known, c.Name)
			}
			v.bad(at("audit", "cluster"), "no cluster %q%s", a.Cluster, nearest(a.Cluster, known))
			return
		}
		a.Cluster = c.Name
	case a.File != "" && !filepath.IsAbs(a.File):
		a.File = filepath.Join(filepath.Dir(v.top.file), a.File)
	}
}
