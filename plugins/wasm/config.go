package wasm

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
)

// Config is the wasm section of a chain.
type Config struct {
	// Name is for logs, traces and metrics, by default that of its manifest; no two of a chain have
	// the same. With it, what the guest keeps in its store outlives another File or Image; without
	// it, it is theirs.
	Name string `koanf:"name"`
	// File is the module, relative to the folder of the YAML file.
	File string `koanf:"file"`
	// Image is a module in an OCI image, in place of File: REGISTRY/NAME@sha256:DIGEST, or
	// oci:FOLDER@sha256:DIGEST.
	Image string `koanf:"image"`
	// PlainHTTP reaches the registry without TLS.
	PlainHTTP bool `koanf:"plain_http"`
	// SHA256 is the module's digest in hex; another content is refused.
	SHA256 string `koanf:"sha256"`
	// Topics are globs of the topics whose records the guest sees; none: all.
	Topics []string `koanf:"topics"`
	// Grant lists the capabilities that the guest may have: kv, http, send_request of any API,
	// send_request:API.
	Grant []string `koanf:"grant"`
	// HTTPHosts are the hosts, with their ports, that http may reach.
	HTTPHosts []string `koanf:"http_hosts"`
	// Config is given to the guest as JSON.
	Config any `koanf:"config"`
	// OnError says what becomes of a request whose call failed: "reject" (default; the client is
	// told to try again) or "pass" (it is forwarded as it came).
	OnError string `koanf:"on_error"`
	// ProduceDrop says what becomes of a record that a guest drops from a batch of an idempotent
	// producer: "reject" (default; the batch is refused) or "tombstone" (its value becomes null,
	// unless the topic is compacted: then the batch is refused).
	ProduceDrop string `koanf:"produce_drop"`
	Limits      Limits `koanf:"limits"`
}

// Limits bound what a guest may use.
type Limits struct {
	Timeout     time.Duration `koanf:"timeout"`      // of one call
	Memory      int64         `koanf:"memory"`       // of one instance
	Instances   int           `koanf:"instances"`    // that run at a time; 0: one for each core, and 8 more for a guest that may wait for others
	CallBytes   int           `koanf:"call_bytes"`   // of the records of one call; more are shown in several
	CallRecords int           `koanf:"call_records"` // in one call
	LogLines    int           `koanf:"log_lines"`    // in a second
	Series      int           `koanf:"series"`       // of metrics
	KV          int64         `koanf:"kv"`           // of keys and values in the store
}

// DefaultLimits are the limits that a section does not change.
func DefaultLimits() Limits {
	return Limits{Timeout: time.Second, Memory: 64 << 20, CallBytes: 1 << 20, CallRecords: 4096, LogLines: 100, Series: 1000, KV: 16 << 20}
}

// maxInstances bounds the instances of a guest: each has memory of its own.
const maxInstances = 1000

const pageSize = 64 << 10

// pages is the memory limit in WASM pages.
func (l Limits) pages() uint32 { return uint32(l.Memory / pageSize) }

func decode(section config.Section, compiled bool) (c Config, settings []byte, err error) {
	c = Config{OnError: "reject", ProduceDrop: "reject", Limits: DefaultLimits()}
	errs := section.Partly(&c)
	var more config.Errors
	bad := func(format string, arg any, key ...string) {
		more = append(more, section.Errorf(key, format, arg))
	}
	switch {
	case compiled:
		for key, set := range map[string]bool{"file": c.File != "", "image": c.Image != "", "sha256": c.SHA256 != "", "plain_http": c.PlainHTTP} {
			if set {
				bad("%s has no place here: the plugin is compiled into this gateway", key, key)
			}
		}
	case c.File == "" && c.Image == "":
		bad("%s is missing: the WASM module, or image", "file", "file")
	case c.File != "" && c.Image != "":
		bad("%s and file both say where the module is", "image", "image")
	case c.Image != "":
		if _, _, err := parseImage(c.Image); err != nil {
			bad("%v", err, "image")
		}
	}
	for i, g := range c.Topics {
		if err := config.CheckGlob(g); err != nil {
			bad("%v", err, "topics", strconv.Itoa(i))
		}
	}
	for i, g := range c.Grant {
		if err := checkCapability(g); err != nil {
			bad("%v", err, "grant", strconv.Itoa(i))
		}
	}
	if !slices.Contains([]string{"reject", "pass"}, c.OnError) {
		bad("%q is not one of reject, pass", c.OnError, "on_error")
	}
	if c.ProduceDrop == "drop" {
		bad("%q is not possible: brokers want every sequence number of an idempotent producer; use reject or tombstone", c.ProduceDrop, "produce_drop")
	} else if !slices.Contains([]string{"reject", "tombstone"}, c.ProduceDrop) {
		bad("%q is not one of reject, tombstone", c.ProduceDrop, "produce_drop")
	}
	if c.Limits.Memory < 1<<20 || c.Limits.Memory > 4<<30 {
		bad("%s must be from 1MiB to 4GiB", "memory", "limits", "memory")
	}
	for key, n := range map[string]int64{"timeout": int64(c.Limits.Timeout), "call_bytes": int64(c.Limits.CallBytes), "call_records": int64(c.Limits.CallRecords)} {
		if n <= 0 {
			bad("%s must be above 0", key, "limits", key)
		}
	}
	if c.Limits.Instances > maxInstances {
		bad(fmt.Sprintf("%%s must be at most %d", maxInstances), "instances", "limits", "instances")
	}
	for key, n := range map[string]int64{"log_lines": int64(c.Limits.LogLines), "instances": int64(c.Limits.Instances), "series": int64(c.Limits.Series), "kv": c.Limits.KV} {
		if n < 0 {
			bad("%s must not be negative", key, "limits", key)
		}
	}
	if c.Config != nil {
		if settings, err = json.Marshal(c.Config); err != nil {
			bad("%v", err, "config")
		}
	}
	return c, settings, errs.And(more...).Err()
}

// allowed says of the manifest's wishes what the section does not grant.
func (c Config) denied(m Manifest) (missing []string) {
	for _, h := range m.Host {
		if !grants(c.Grant).covers(h) {
			missing = append(missing, h)
		}
	}
	return missing
}

func (c Config) covers(topic string) bool {
	return len(c.Topics) == 0 || slices.ContainsFunc(c.Topics, func(g string) bool {
		return config.MatchGlob(g, topic)
	})
}

// title is how the guest is called.
func (c Config) title(m Manifest) string {
	if c.Name != "" {
		return c.Name
	}
	if m.Name != "" {
		return m.Name
	}
	return strings.TrimSuffix(path.Base(c.File+c.Image), ".wasm")
}
