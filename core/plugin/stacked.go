package plugin

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Software is what a gateway calls itself in ApiVersions (KIP-511). Its version is a path: the ids
// of the gateways that the connection leads through, with dots between, so that one that leads in a
// circle is found.
const Software = "sluice"

// gatewaysTag is the tagged field of an ApiVersions response in which a gateway tells another one
// which gateways are behind it. No other client is sent it.
const gatewaysTag = 20_000

// mostGateways bounds what is believed of a path.
const mostGateways = 64

// Path lists the gateways that a client leads through, by what it says of its software; none for
// other clients.
func Path(software, version string) []string {
	if software != Software {
		return nil
	}
	return few(strings.Split(version, "."))
}

// TellGateways notes in a response which gateways are at its sender and behind it.
func TellGateways(r *kmsg.ApiVersionsResponse, ids []string) {
	r.UnknownTags.Set(gatewaysTag, []byte(strings.Join(few(ids), ".")))
}

// Gateways lists what TellGateways has noted; none if the sender is a broker.
func Gateways(r *kmsg.ApiVersionsResponse) (ids []string) {
	r.UnknownTags.Each(func(tag uint32, said []byte) {
		if tag == gatewaysTag && len(said) > 0 {
			ids = few(strings.Split(string(said), "."))
		}
	})
	return ids
}

func few(ids []string) []string { return slices.Clip(ids[:min(len(ids), mostGateways)]) }
