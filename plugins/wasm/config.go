package wasm

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/plugins/wasm/source"
)

// Config is the wasm section of a chain.
type Config struct {
	// Name is for logs, traces and metrics, by default that of its manifest; no two of a chain have
	// the same. With it, what the guest keeps in its store outlives another File or Image; without
	// it, it is theirs.
	Name string `koanf:"name"`
	// File is the module, relative to the folder of the YAML file.
	File string `koanf:"file" needed:"without image"`
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
	Grant []string `koanf:"grant" form:"kv|http|send_request(:.*)?"`
	// HTTPHosts are the hosts, with their ports, that http may reach.
	HTTPHosts []string `koanf:"http_hosts"`
	// Config is given to the guest as JSON.
	Config any `koanf:"config"`
	// OnError says what becomes of a request whose call failed: "reject" (default; the client is
	// told to try again) or "pass" (it is forwarded as it came).
	OnError string `koanf:"on_error" oneof:"reject,pass"`
	// ProduceDrop says what becomes of a record that a guest drops from a batch of an idempotent
	// producer: "reject" (default; the batch is refused) or "tombstone" (its value becomes null,
	// unless the topic is compacted: then the batch is refused).
	ProduceDrop string      `koanf:"produce_drop" form:"reject|tombstone"`
	Limits      host.Limits `koanf:"limits"`
}

// maxInstances bounds the instances of a guest: each has memory of its own.
const maxInstances = 1000

// defaults are the settings of a section that names none.
func defaults() Config {
	return Config{OnError: "reject", ProduceDrop: "reject", Limits: host.DefaultLimits()}
}

func decode(section config.Section, compiled bool) (c Config, settings []byte, err error) {
	c = defaults()
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
		if _, _, err := source.ParseImage(c.Image); err != nil {
			bad("%v", err, "image")
		}
	}
	for i, g := range c.Topics {
		if err := config.CheckGlob(g); err != nil {
			bad("%v", err, "topics", strconv.Itoa(i))
		}
	}
	for i, g := range c.Grant {
		if err := manifest.CheckCapability(g); err != nil {
			bad("%v", err, "grant", strconv.Itoa(i))
		}
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

// denied says what the manifest wishes and the section does not grant.
func (c Config) denied(m manifest.Manifest) (missing []string) {
	for _, h := range m.Host {
		if !manifest.Grants(c.Grant).Covers(h) {
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
func (c Config) title(m manifest.Manifest) string {
	if c.Name != "" {
		return c.Name
	}
	if m.Name != "" {
		return m.Name
	}
	return strings.TrimSuffix(path.Base(c.File+c.Image), ".wasm")
}
