// Package trust is what proves a server to the gateway, and the gateway to it: files in PEM, which
// may be renewed at any time.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are the paths of files in PEM.
type Files struct {
	// CA has the certificates that the server's must be signed by one of; "": those of the machine.
	CA string
	// Cert and Key are what the gateway shows of itself (mTLS); "": nothing.
	Cert, Key string
}

// FileError is a file that can't be used, and the setting that names it.
type FileError struct {
	Setting string // ca or cert
	Err     error
}

func (e *FileError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap is what is wrong with the file.
func (e *FileError) Unwrap() error { return e.Err }

// Config is what connections are made with, TLS 1.2 at least; its error is a *FileError. A client
// certificate is read again for each connection, so that one that is renewed in its files needs
// nothing else.
func (f Files) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, &FileError{"ca", err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FileError{"ca", fmt.Errorf("%s: no certificates in PEM", f.CA)}
		}
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, &FileError{"cert", err}
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			return &pair, err
		}
	}
	return c, nil
}
