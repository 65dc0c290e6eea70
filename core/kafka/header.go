package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Header is what precedes every request.
type Header struct {
	Key           kmsg.Key
	Version       int16
	CorrelationID int32
	ClientID      string
	HasClientID   bool
}

// UnsupportedError is a request whose API or version the table does not have. The header's
// correlation id is valid.
type UnsupportedError struct {
	Key     kmsg.Key
	Version int16
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported request: %s (%d) version %d", kmsg.NameForKey(int16(e.Key)), e.Key, e.Version)
}

// MalformedError is a body that does not parse.
type MalformedError struct {
	Key     kmsg.Key
	Version int16
	// Response says that it came from a broker.
	Response bool
	Err      error
}

func (e *MalformedError) Error() string {
	kind := "request"
	if e.Response {
		kind = "response"
	}
	return fmt.Sprintf("malformed %s %s version %d: %v", kmsg.NameForKey(int16(e.Key)), kind, e.Version, e.Err)
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.Err }

var errShort = errors.New("not enough data")

// ParseHeader parses a request's header (v1, or v2 for flexible versions) and returns the body
// behind it, which aliases the frame. A client id that is known is not copied again.
func ParseHeader(frame []byte, known string) (h Header, body []byte, err error) {
	if len(frame) < 10 {
		return h, nil, errShort
	}
	h.Key = kmsg.Key(int16(binary.BigEndian.Uint16(frame)))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	n := int16(binary.BigEndian.Uint16(frame[8:]))
	rest := frame[10:]
	if n >= 0 {
		if len(rest) < int(n) {
			return h, nil, errShort
		}
		if h.ClientID, h.HasClientID = known, true; string(rest[:n]) != known {
			h.ClientID = string(rest[:n])
		}
		rest = rest[n:]
	}
	api, ok := Lookup(h.Key)
	if !ok || h.Version < 0 || h.Version > api.MaxVersion {
		return h, nil, &UnsupportedError{Key: h.Key, Version: h.Version}
	}
	if api.flexible(h.Version) {
		if rest, err = skipTags(rest); err != nil {
			return h, nil, &MalformedError{Key: h.Key, Version: h.Version, Err: err}
		}
	}
	return h, rest, nil
}

// skipTags skips the tagged fields of a header.
func skipTags(b []byte) ([]byte, error) {
	n, b, err := uvarint(b)
	for ; err == nil && n > 0; n-- {
		var size uint64
		if _, b, err = uvarint(b); err != nil {
			break
		}
		if size, b, err = uvarint(b); err != nil {
			break
		}
		if size > uint64(len(b)) {
			return nil, errShort
		}
		b = b[size:]
	}
	return b, err
}

// uvarint reads one of at most 32 bits, in at most five bytes.
func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b[:min(len(b), binary.MaxVarintLen32)])
	if n <= 0 || v > math.MaxUint32 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}

// ParseResponse parses a response's header (v0, or v1 for flexible versions; ApiVersions always v0)
// and returns the body behind it.
func ParseResponse(key kmsg.Key, version int16, frame []byte) (correlationID int32, body []byte, err error) {
	if len(frame) < 4 {
		return 0, nil, errShort
	}
	correlationID = int32(binary.BigEndian.Uint32(frame))
	body = frame[4:]
	if api, ok := Lookup(key); ok && key != kmsg.ApiVersions && api.flexible(version) {
		if body, err = skipTags(body); err != nil {
			return correlationID, nil, &MalformedError{Key: key, Version: version, Response: true, Err: err}
		}
	}
	return correlationID, body, nil
}

// AppendRequestHeader appends a request header without tagged fields.
func AppendRequestHeader(dst []byte, h Header) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	return appendClientID(dst, h)
}

func appendClientID(dst []byte, h Header) []byte {
	if h.HasClientID {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.ClientID)))
		dst = append(dst, h.ClientID...)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, 0xffff)
	}
	if api, ok := Lookup(h.Key); ok && api.flexible(h.Version) {
		dst = append(dst, 0)
	}
	return dst
}

// AppendResponseHeader appends a response header without tagged fields.
func AppendResponseHeader(dst []byte, key kmsg.Key, version int16, correlationID int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if api, ok := Lookup(key); ok && key != kmsg.ApiVersions && api.flexible(version) {
		dst = append(dst, 0)
	}
	return dst
}
