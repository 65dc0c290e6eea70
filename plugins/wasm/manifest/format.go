package manifest

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// formatJSON of a subscription shows messages as JSON, to guests in languages that have no code for
// Kafka's protocol.
const formatJSON = "json"

// checkFormat says what is wrong with the format of a subscription.
func (s Subscription) checkFormat() error {
	switch {
	case s.Format == "":
		return nil
	case s.Format != formatJSON:
		return fmt.Errorf("format %q is not json", s.Format)
	case kmsg.Key(s.API) == kmsg.Produce || kmsg.Key(s.API) == kmsg.Fetch:
		return fmt.Errorf("%s has records and is not shown as JSON: ask for records", kmsg.NameForKey(int16(s.API)))
	}
	return nil
}

// AsJSON reports whether the guest wants a message as JSON: kind is abi.KindRequest or
// abi.KindResponse.
func (m *Manifest) AsJSON(kind uint16, key int16) bool {
	var list Subscriptions
	switch kind {
	case abi.KindRequest:
		list = m.Requests
	case abi.KindResponse:
		list = m.Responses
	}
	return slices.ContainsFunc(list, func(s Subscription) bool { return int16(s.API) == key && s.Format == formatJSON })
}
