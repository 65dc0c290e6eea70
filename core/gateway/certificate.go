package gateway

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// certificate is a listener's certificate, loaded again when its files have changed.
type certificate struct {
	files   [2]string // certificate and key
	stamp   [2]plugin.Stamp
	failed  error
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate loads the certificate of a listener; paths are relative to the configuration file.
func loadCertificate(path string, t *config.TLS) (*certificate, error) {
	if t == nil {
		return nil, nil
	}
	c := &certificate{files: [2]string{t.Cert, t.Key}}
	for i, p := range c.files {
		if !filepath.IsAbs(p) {
			c.files[i] = filepath.Join(filepath.Dir(path), p)
		}
	}
	_, err := c.refresh()
	return c, err
}

// refresh loads the files if they have changed. On an error, as between the writes of the two, the old
// certificate stays; the same error is returned once.
func (c *certificate) refresh() (changed bool, err error) {
	var now [2]plugin.Stamp
	for i, p := range c.files {
		if now[i], err = plugin.StampOf(p); err != nil {
			return false, c.fail(err)
		}
	}
	if now == c.stamp {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return false, c.fail(err)
	}
	c.current.Store(&pair)
	c.stamp, c.failed = now, nil
	return true, nil
}

func (c *certificate) fail(err error) error {
	if c.failed != nil && c.failed.Error() == err.Error() {
		return nil
	}
	c.failed = err
	return fmt.Errorf("listen.tls: %w", err)
}

// config is what new connections are accepted with; nil without TLS.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// refreshCertificates follows certificates that are renewed in their files.
func (g *Gateway) refreshCertificates() {
	for _, v := range g.virtuals() {
		c := v.runtime().certificate
		if c == nil {
			continue
		}
		if changed, err := c.refresh(); err != nil {
			g.log.Error("certificate not renewed, the old one stays in force", "virtual_cluster", v.name, "error", err)
		} else if changed {
			g.log.Info("certificate renewed", "virtual_cluster", v.name)
		}
	}
}
