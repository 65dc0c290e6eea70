package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// certificate is a listener's certificate, loaded again when its files have changed.
type certificate struct {
	files   [2]string // certificate and key
	current atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	stamp [2]plugin.Stamp // of what is current
	wrong error           // with what the files hold now
}

// loadCertificate loads the certificate of a listener; paths are relative to the configuration
// file. Also with an error there is one, which has nothing to show until its files are well.
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

// refresh loads the files if they have changed. On an error, as between the writes of the two, the
// old certificate stays; the same error is returned once.
func (c *certificate) refresh() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.wrong
	if changed, c.wrong = c.load(); c.wrong != nil && (was == nil || was.Error() != c.wrong.Error()) {
		err = c.wrong
	}
	return changed, err
}

func (c *certificate) load() (changed bool, err error) {
	var now [2]plugin.Stamp
	for i, p := range c.files {
		if now[i], err = plugin.StampOf(p); err != nil {
			return false, fmt.Errorf("listen.tls: %w", err)
		}
	}
	if now == c.stamp {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return false, fmt.Errorf("listen.tls: %w", err)
	}
	c.current.Store(&pair)
	c.stamp = now
	return true, nil
}

// expires is when the first certificate of the chain that listeners show does; zero without one.
func (c *certificate) expires() (at time.Time) {
	if c == nil || c.current.Load() == nil {
		return at
	}
	for _, der := range c.current.Load().Certificate {
		if x, err := x509.ParseCertificate(der); err == nil && (at.IsZero() || x.NotAfter.Before(at)) {
			at = x.NotAfter
		}
	}
	return at
}

// problem is what is wrong with the files while what was loaded before goes on; nil is nothing.
func (c *certificate) problem() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// config is what new connections are accepted with; nil without TLS.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if now := c.current.Load(); now != nil {
				return now, nil
			}
			return nil, c.problem()
		},
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
