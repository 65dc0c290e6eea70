package wasm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// sendPrefix is before the name of an API for which alone send_request is asked for or granted.
const sendPrefix = abi.CapSendRequest + ":"

// checkCapability refuses what is no capability.
func checkCapability(s string) error {
	if slices.Contains([]string{abi.CapKV, abi.CapHTTP, abi.CapSendRequest}, s) {
		return nil
	}
	api, ok := strings.CutPrefix(s, sendPrefix)
	if !ok {
		return fmt.Errorf("%q is not one of kv, http, send_request, send_request:API", s)
	}
	if _, known := kafka.KeyOf(api); !known {
		return fmt.Errorf("there is no Kafka API %q", api)
	}
	return nil
}

// grants are the capabilities that a guest has.
type grants []string

// covers reports whether a wish is granted. One for send_request alone is, if any API is: what the
// guest sends is looked at again then.
func (g grants) covers(wish string) bool {
	return slices.ContainsFunc(g, func(s string) bool {
		return s == wish || s == abi.CapSendRequest && strings.HasPrefix(wish, sendPrefix) || wish == abi.CapSendRequest && strings.HasPrefix(s, sendPrefix)
	})
}

// maySend reports whether requests of an API may be sent.
func (g grants) maySend(key kmsg.Key) bool { return g.covers(sendPrefix + kmsg.NameForKey(int16(key))) }

// waits reports whether calls may wait for a cluster or another server.
func (g grants) waits() bool { return g.covers(abi.CapHTTP) || g.covers(abi.CapSendRequest) }
