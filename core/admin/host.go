package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// CheckHost refuses calls whose Host is a name that is not one of the API's own: a page of another
// site may have its own name lead to this address, and a browser would take both for one (DNS
// rebinding). Addresses are what nobody else can have, and localhost is this machine's; names are
// those of the configuration in force.
func CheckHost(r *http.Request, names []string) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) }) {
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return nil
	}
	return &Error{http.StatusForbidden, "the name " + host + " is not this API's: call it by its address, or add the name to `admin: hosts:`"}
}
