package manifest

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

// CheckCapability refuses what is no capability.
func CheckCapability(s string) error {
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

// Grants are the capabilities that a guest has.
type Grants []string

// Covers reports whether a wish is granted. One for send_request alone is, if any API is: what the
// guest sends is looked at again then.
func (g Grants) Covers(wish string) bool {
	return slices.ContainsFunc(g, func(s string) bool {
		return s == wish || s == abi.CapSendRequest && strings.HasPrefix(wish, sendPrefix) || wish == abi.CapSendRequest && strings.HasPrefix(s, sendPrefix)
	})
}

// MaySend reports whether requests of an API may be sent.
func (g Grants) MaySend(key kmsg.Key) bool { return g.Covers(sendPrefix + kmsg.NameForKey(int16(key))) }

// Waits reports whether calls may wait for a cluster or another server.
func (g Grants) Waits() bool { return g.Covers(abi.CapHTTP) || g.Covers(abi.CapSendRequest) }
