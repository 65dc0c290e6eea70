package config

import "path/filepath"

// ClusterTLS is what proves brokers to the gateway, and the gateway to them (mTLS).
type ClusterTLS struct {
	// CA has the certificates that the brokers' must be signed by one of; "": those of the machine.
	// Files are in PEM; once loaded, their paths are whole.
	CA   string `koanf:"ca"`
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
	// ServerName is the name that the brokers' certificates must be for; "": that of each address.
	ServerName string `koanf:"server_name"`
}

// Mechanisms of SASL, by Kafka's names.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// SASL is how the gateway signs in to brokers.
type SASL struct {
	Mechanism string `koanf:"mechanism" oneof:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" needed:"always"`
	Username  string `koanf:"username" needed:"always"`
	Password  string `koanf:"password" needed:"always"`
}

// validateDoor checks how the brokers of a cluster are entered, and makes paths whole.
func (c *Cluster) validateDoor(v *validator, at []string) {
	if t := c.TLS; t != nil {
		if (t.Cert == "") != (t.Key == "") {
			v.bad(sub(at, "tls"), "cert and key belong together")
		}
		for _, name := range []*string{&t.CA, &t.Cert, &t.Key} {
			if *name != "" && !filepath.IsAbs(*name) {
				*name = filepath.Join(filepath.Dir(v.top.file), *name)
			}
		}
	}
	s := c.SASL
	if s == nil {
		return
	}
	at = sub(at, "sasl")
	if s.Mechanism == "" {
		v.missing(at, "mechanism", "mechanism is missing: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	}
	if s.Username == "" {
		v.missing(at, "username", "username is missing")
	}
	if s.Password == "" {
		v.missing(at, "password", "password is missing: write it as ${env:NAME} or ${file:path}")
	}
	if c.TLS == nil && s.Mechanism == Plain {
		v.warn(at, "without `tls` the password crosses the network in plain text")
	}
}
