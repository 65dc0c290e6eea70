package wasm

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// formatJSON of a subscription shows messages as JSON, to guests in languages that have no code for
// Kafka's protocol.
const formatJSON = "json"

// mostJSON bounds what a guest answers with: decoding makes a few bytes into a struct.
const mostJSON = 4 << 20

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

// asJSON reports whether the guest wants a message as JSON.
func (m *Manifest) asJSON(h *Head) bool {
	var list []Subscription
	switch h.Kind {
	case abi.KindRequest:
		list = m.Requests
	case abi.KindResponse:
		list = m.Responses
	}
	return slices.ContainsFunc(list, func(s Subscription) bool { return int16(s.API) == h.Key && s.Format == formatJSON })
}

// toJSON is a body as a guest is shown it.
func toJSON(h *Head, body []byte) ([]byte, error) {
	if h.Kind == abi.KindResponse {
		return kafka.NewResponseBody(kmsg.Key(h.Key), h.Version, body).JSON(true)
	}
	return kafka.NewRequestBody(kmsg.Key(h.Key), h.Version, body).JSON(true)
}

// fromJSON makes bytes of the body that a guest has answered with.
func (r *result) fromJSON(h *Head) error {
	if r.body == nil {
		return nil
	}
	if len(r.body) > mostJSON {
		return fmt.Errorf("a message of %d bytes of JSON, more than %d", len(r.body), mostJSON)
	}
	if r.action == abi.ActionForward && h.Kind == abi.KindRequest {
		b, err := kafka.RequestOfJSON(kmsg.Key(h.Key), h.Version, r.body)
		if err != nil {
			return bad("the request that it forwards", err)
		}
		r.body = b.Bytes()
		return nil
	}
	b, err := kafka.ResponseOfJSON(kmsg.Key(h.Key), h.Version, r.body)
	if err != nil {
		return bad("its response", err)
	}
	r.body = b.Bytes()
	return nil
}
