package blocks

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// mostJSON bounds what a guest answers with: decoding makes a few bytes into a struct.
const mostJSON = 4 << 20

// ToJSON is a body as a guest is shown it.
func ToJSON(h *Head, body []byte) ([]byte, error) {
	if h.Kind == abi.KindResponse {
		return kafka.NewResponseBody(kmsg.Key(h.Key), h.Version, body).JSON(true)
	}
	return kafka.NewRequestBody(kmsg.Key(h.Key), h.Version, body).JSON(true)
}

// FromJSON makes bytes of the body that a guest has answered with.
func (r *Result) FromJSON(h *Head) error {
	if r.Body == nil {
		return nil
	}
	if len(r.Body) > mostJSON {
		return fmt.Errorf("a message of %d bytes of JSON, more than %d", len(r.Body), mostJSON)
	}
	if r.Action == abi.ActionForward && h.Kind == abi.KindRequest {
		b, err := kafka.RequestOfJSON(kmsg.Key(h.Key), h.Version, r.Body)
		if err != nil {
			return Bad("the request that it forwards", err)
		}
		r.Body = b.Bytes()
		return nil
	}
	b, err := kafka.ResponseOfJSON(kmsg.Key(h.Key), h.Version, r.Body)
	if err != nil {
		return Bad("its response", err)
	}
	r.Body = b.Bytes()
	return nil
}

// Bad is an error of what a guest made. It is the guest's, not the client's: what it wraps must not
// be found, or the client's session would be closed for it, or its records refused.
func Bad(what string, err error) error { return errors.New(what + ": " + err.Error()) }
