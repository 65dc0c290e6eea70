package sdk

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// CallOption says more of a Send or an HTTP.
type CallOption func(*call)

type call struct{ limit uint32 } // milliseconds, 0: the deadline

// Within ends a call to the outside after d with ErrTimeout, and the plugin goes on. Without it, or
// with a d beyond it, Deadline ends the call, and with it the plugin's own.
func Within(d time.Duration) CallOption {
	return func(c *call) { c.limit = uint32(min(max(d.Milliseconds(), 1), math.MaxUint32)) }
}

func newCall(options []CallOption) (c call) {
	for _, o := range options {
		o(&c)
	}
	return c
}

// Send sends a request of the plugin's own through the chain below and reads its answer into resp.
// Set the version of req first.
func (g *Gateway) Send(req, resp Message, options ...CallOption) error {
	b := binary.LittleEndian.AppendUint16(nil, uint16(req.Key()))
	b = binary.LittleEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.LittleEndian.AppendUint32(b, newCall(options).limit)
	out, code := g.host.SendRequest(req.AppendTo(b))
	if code < 0 {
		return hostError(code)
	}
	resp.SetVersion(req.GetVersion())
	return resp.ReadFrom(out)
}

// HTTPResponse is the answer of HTTP.
type HTTPResponse struct {
	Status int
	Header map[string]string
	Body   []byte
}

// HTTP makes a request to a host that the operator allows.
func (g *Gateway) HTTP(method, url string, header map[string]string, body []byte, options ...CallOption) (*HTTPResponse, error) {
	le := binary.LittleEndian
	b := make([]byte, abi.HTTPSize)
	le.PutUint32(b, abi.HTTPSize)
	le.PutUint32(b[abi.HTTPTimeout:], newCall(options).limit)
	add := func(at int, p []byte) {
		le.PutUint32(b[at:], uint32(len(b)))
		le.PutUint32(b[at+4:], uint32(len(p)))
		b = append(b, p...)
	}
	var h []byte
	for k, v := range header {
		h = le.AppendUint32(le.AppendUint32(h, uint32(len(k))), uint32(len(v)))
		h = append(append(h, k...), v...)
	}
	add(abi.HTTPMethod, []byte(method))
	add(abi.HTTPTarget, []byte(url))
	add(abi.HTTPHeaders, h)
	add(abi.HTTPBody, body)
	out, code := g.host.HTTPCall(b)
	if code < 0 {
		return nil, hostError(code)
	}
	r := &HTTPResponse{Status: int(u32(out, abi.HTTPStatus)), Header: map[string]string{}, Body: piece(out, abi.HTTPBody)}
	for h := piece(out, abi.HTTPHeaders); len(h) > 0; {
		kn, vn := u32(h, 0), u32(h, 4)
		r.Header[string(h[8:8+kn])] = string(h[8+kn : 8+kn+vn])
		h = h[8+kn+vn:]
	}
	return r, nil
}
