package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// Outcome is what comes of a request: it is answered, or its connection is closed, or neither, as with acks=0.
type Outcome string

// The outcomes.
const (
	Answered Outcome = "answered"
	Silent   Outcome = "not answered"
	Closed   Outcome = "closed"
)

const (
	corr  = 7
	after = 8 // of the request behind it, which is a sound one
)

// Send sends a request and a sound one behind it, and says what comes of the first. An error is a hang, or an answer that is none.
func Send(addr string, key kmsg.Key, version int16, frame []byte) (Outcome, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(eventually.Limit))
	sound := kafka.AppendRequestHeader(nil, kafka.Header{Key: kmsg.ApiVersions, CorrelationID: after})
	for _, f := range [][]byte{frame, sound} {
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)) // it may be closed by now
	}
	said := Silent
	for {
		b, err := kafka.ReadFrame(c, 100<<20, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", fmt.Errorf("neither answered nor closed after %s", eventually.Limit)
		}
		if err != nil {
			if said == Answered {
				return said, nil
			}
			return Closed, nil
		}
		switch got := int32(binary.BigEndian.Uint32(b)); {
		case len(b) < 4:
			return "", errors.New("an answer without a header")
		case got == after:
			return said, nil
		case got != corr || said == Answered:
			return "", fmt.Errorf("answer %d where %d or %d was due", got, corr, after)
		}
		said = Answered
		if key == kmsg.ApiVersions { // an error is answered in version 0
			continue
		}
		_, body, err := kafka.ParseResponse(key, version, b)
		if err == nil {
			_, err = kafka.NewResponseBody(key, version, body).Peek()
		}
		if err != nil {
			return "", fmt.Errorf("the answer is none: %w", err)
		}
	}
}

// Request is a request that a client might send, or its defaults.
func Request(r *rand.Rand, api kafka.API, version int16, fill bool) []byte {
	msg := kmsg.RequestForKey(int16(api.Key))
	if fill {
		Fill(r, reflect.ValueOf(msg).Elem(), "orders", true)
	}
	if f, ok := msg.(*kmsg.FetchRequest); ok {
		f.MaxWaitMillis = min(f.MaxWaitMillis, 100) // or it is right to wait
	}
	msg.SetVersion(version)
	return msg.AppendTo(kafka.AppendRequestHeader(nil, kafka.Header{Key: api.Key, Version: version, CorrelationID: corr, ClientID: "c", HasClientID: true}))
}
