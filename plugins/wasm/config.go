package wasm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
)

// Config is the wasm section of a chain.
type Config struct {
	// Name is for logs and traces; by default the file's name.
	Name string `koanf:"name"`
	// File is the module, relative to the folder of the YAML file.
	File string `koanf:"file"`
	// SHA256 is the module's digest in hex; another content is refused.
	SHA256 string `koanf:"sha256"`
	// Topics are globs of the topics whose records the guest sees; none: all.
	Topics []string `koanf:"topics"`
	// Config is given to the guest as JSON.
	Config any `koanf:"config"`
	// Timeout is the longest time of one call.
	Timeout time.Duration `koanf:"timeout"`
	// Memory is the most that one instance may have.
	Memory int64 `koanf:"memory"`
	// OnError says what becomes of a request whose call failed: "reject" (default; the client is told to
	// try again) or "pass" (it is forwarded as it came).
	OnError string `koanf:"on_error"`
}

const pageSize = 64 << 10

func decode(section config.Section) (c Config, module, settings []byte, err error) {
	c = Config{Timeout: time.Second, Memory: 64 << 20, OnError: "reject"}
	if err := section.Decode(&c); err != nil {
		return c, nil, nil, err
	}
	var errs config.Errors
	bad := func(key string, format string, args ...any) {
		errs = append(errs, section.Errorf([]string{key}, format, args...))
	}
	switch module, err = os.ReadFile(section.Resolve(c.File)); {
	case c.File == "":
		bad("file", "file is missing: the WASM module")
	case err != nil:
		bad("file", "%v", err)
	default:
		sum := sha256.Sum256(module)
		if got := hex.EncodeToString(sum[:]); c.SHA256 != "" && !strings.EqualFold(c.SHA256, got) {
			bad("sha256", "%s has the digest %s", c.File, got)
		}
	}
	for i, g := range c.Topics {
		if _, err := path.Match(g, ""); err != nil {
			errs = append(errs, section.Errorf([]string{"topics", strconv.Itoa(i)}, "%q is not a glob", g))
		}
	}
	if c.Timeout <= 0 {
		bad("timeout", "must be above 0")
	}
	if c.Memory < 1<<20 || c.Memory > 4<<30 {
		bad("memory", "must be from 1MiB to 4GiB")
	}
	if !slices.Contains([]string{"reject", "pass"}, c.OnError) {
		bad("on_error", "%q is not one of reject, pass", c.OnError)
	}
	if c.Config != nil {
		if settings, err = json.Marshal(c.Config); err != nil {
			bad("config", "%v", err)
		}
	}
	if c.Name == "" {
		c.Name = strings.TrimSuffix(path.Base(c.File), ".wasm")
	}
	if len(errs) > 0 {
		return c, nil, nil, errs
	}
	return c, module, settings, nil
}

func (c Config) covers(topic string) bool {
	return len(c.Topics) == 0 || slices.ContainsFunc(c.Topics, func(g string) bool {
		ok, _ := path.Match(g, topic)
		return ok
	})
}

// pages is the memory limit in WASM pages.
func (c Config) pages() uint32 { return uint32(c.Memory / pageSize) }

func (c Config) String() string { return fmt.Sprintf("%s (%s)", c.Name, c.File) }
