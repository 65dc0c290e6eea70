package config

import (
	"maps"
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
	endpoint, protocol string
	insecure           bool
	headers            map[string]string
	tls                *ClientTLS
}

// What may stand in a header of HTTP, and of gRPC.
var (
	headerName  = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	headerValue = regexp.MustCompile(`^[ -~]*$`)
)

func (r receiver) validate(v *validator, at []string) {
	if !slices.Contains([]string{"", "grpc", "http"}, r.protocol) {
		v.bad(sub(at, "protocol"), "%q is not one of grpc, http", r.protocol)
	}
	if r.endpoint != "" {
		v.address(sub(at, "endpoint"), r.endpoint)
	}
	for _, name := range slices.Sorted(maps.Keys(r.headers)) {
		switch {
		case !headerName.MatchString(name):
			v.bad(sub(sub(at, "headers"), name), "%q can't be the name of a header: letters, digits, -, _ and . can", name)
		case !headerValue.MatchString(r.headers[name]):
			v.bad(sub(sub(at, "headers"), name), "the value of a header has printable characters of ASCII alone")
		}
	}
	if r.tls == nil {
		return
	}
	if r.insecure {
		v.bad(sub(at, "insecure"), "true is without TLS, but there is a tls: section too")
	}
	if (r.tls.Cert == "") != (r.tls.Key == "") {
		v.bad(sub(at, "tls"), "cert and key belong together")
	}
}
