package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// Outcome is what comes of a request: it is answered, or its connection is closed, or neither, as
// with acks=0.
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

// ErrHang is a request of which nothing comes.
var ErrHang = errors.New("neither answered nor closed")

// Send sends a request and a sound one behind it, and says what comes of the first. An error is a
// hang, or an answer that is none.
func Send(addr string, key kmsg.Key, version int16, frame []byte) (Outcome, error) {
	said, _, err := Ask(addr, key, version, frame, eventually.Limit)
	return said, err
}

// Ask is Send with a limit of time, and also returns the answer, if there is one.
func Ask(addr string, key kmsg.Key, version int16, frame []byte, limit time.Duration) (Outcome, kmsg.Response, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(limit))
	sound := kafka.AppendRequestHeader(nil, kafka.Header{Key: kmsg.ApiVersions, CorrelationID: after})
	for _, f := range [][]byte{frame, sound} {
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)) // it may be closed by now
	}
	said := Silent
	var answer kmsg.Response
	for {
		b, err := kafka.ReadFrame(c, 100<<20, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", nil, fmt.Errorf("%w after %s", ErrHang, limit)
		}
		if err != nil {
			if said == Answered {
				return said, answer, nil
			}
			return Closed, nil, nil
		}
		switch got := int32(binary.BigEndian.Uint32(b)); {
		case len(b) < 4:
			return "", nil, errors.New("an answer without a header")
		case got == after:
			return said, answer, nil
		case got != corr || said == Answered:
			return "", nil, fmt.Errorf("answer %d where %d or %d was due", got, corr, after)
		}
		said = Answered
		_, body, err := kafka.ParseResponse(key, version, b)
		if err == nil {
			answer, err = kafka.NewResponseBody(key, version, body).Peek()
		}
		if err != nil && key == kmsg.ApiVersions { // an error is answered in version 0
			answer, err = kafka.NewResponseBody(key, 0, b[4:]).Peek()
		}
		if err != nil {
			return "", nil, fmt.Errorf("the answer is none: %w", err)
		}
	}
}

// Offered runs f for every API and version that clients are offered.
func Offered(f func(api kafka.API, version int16)) {
	for _, api := range kafka.APIs() {
		if api.GoesTo == kafka.Refused || kmsg.RequestForKey(int16(api.Key)) == nil {
			continue
		}
		for version := range api.MaxVersion + 1 {
			if api.Key == kmsg.Produce && version < 3 {
				continue // listed, and refused
			}
			f(api, version)
		}
	}
}

// Request is a request that a client might send, or its defaults.
func Request(r *rand.Rand, api kafka.API, version int16, fill bool) []byte {
	msg := kmsg.RequestForKey(int16(api.Key))
	if fill {
		Fill(r, msg, nil)
	}
	if f, ok := msg.(*kmsg.FetchRequest); ok {
		f.MaxWaitMillis = min(f.MaxWaitMillis, 100) // or it is right to wait
	}
	msg.SetVersion(version)
	return Frame(msg)
}

// Frame is a request as Ask sends it.
func Frame(msg kmsg.Request) []byte {
	return msg.AppendTo(kafka.AppendRequestHeader(nil, kafka.Header{Key: kmsg.Key(msg.Key()), Version: msg.GetVersion(), CorrelationID: corr, ClientID: "c", HasClientID: true}))
}
