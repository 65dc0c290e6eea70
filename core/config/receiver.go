package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
)

// ClientTLS names what proves a receiver to the gateway, and the gateway to it: PEM files relative
// to the folder of the file.
type ClientTLS struct {
	// CA has the certificates that the receiver's must be signed by one of; "": those of the
	// machine.
	CA   string `koanf:"ca"`
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// receiver is where a signal is sent over OTLP.
type receiver struct {
	endpoint string
	insecure bool
	headers  map[string]string
	tls      *ClientTLS
}

// What may stand in a header of HTTP, and of gRPC.
var (
	headerName  = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	headerValue = regexp.MustCompile(`^[ -~]*$`)
)

func (r receiver) validate(v *validator, at []string) {
	if r.endpoint != "" {
		v.address(sub(at, "endpoint"), r.endpoint)
	}
	validateHeaders(v, at, r.headers)
	validateTLS(v, at, r.tls)
	if r.tls != nil && r.insecure {
		v.bad(sub(at, "insecure"), "true is without TLS, but there is a tls: section too")
	}
}

func validateHeaders(v *validator, at []string, headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case !headerName.MatchString(name):
			v.bad(sub(sub(at, "headers"), name), "%q can't be the name of a header: letters, digits, -, _ and . can", name)
		case !headerValue.MatchString(headers[name]):
			v.bad(sub(sub(at, "headers"), name), "the value of a header has printable characters of ASCII alone")
		}
	}
}

func validateTLS(v *validator, at []string, tls *ClientTLS) {
	if tls != nil && (tls.Cert == "") != (tls.Key == "") {
		v.bad(sub(at, "tls"), "cert and key belong together")
	}
}

func (f Failover) validateFence(v *validator) {
	at := []string{"failover", "fence"}
	validateHeaders(v, at, f.Fence.Headers)
	validateTLS(v, at, f.Fence.TLS)
	if f.Fence.Timeout <= 0 || f.Fence.Timeout >= f.Hold {
		v.bad(sub(at, "timeout"), "must be above 0 and below failover.hold, which is %s: clients are held meanwhile", f.Hold)
	}
	if f.Fence.URL == "" {
		if len(f.Fence.Headers) > 0 || f.Fence.TLS != nil {
			v.missing(at, "url", "url is missing: where calls are sent, like https://ops.example/fence")
		}
		return
	}
	at = sub(at, "url")
	switch u, err := url.Parse(f.Fence.URL); {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.bad(at, "this is no URL like https://ops.example/fence") // which may hold a secret
	case u.User != nil || u.RawQuery != "":
		v.bad(at, "names, passwords and parameters would be shown with the URL: put them into headers")
	case u.Scheme == "http" && f.Fence.TLS != nil:
		v.bad(at, "http:// is without TLS, but there is a tls: section too")
	}
}
