package sdk

import (
	"encoding/binary"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Send sends a request of the plugin's own through the chain below and reads its answer into resp. Set the version
// of req first.
func Send(req, resp Message) error {
	b := binary.LittleEndian.AppendUint16(nil, uint16(req.Key()))
	b = binary.LittleEndian.AppendUint16(b, uint16(req.GetVersion()))
	out, code := host.SendRequest(req.AppendTo(append(b, 0, 0, 0, 0)))
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
func HTTP(method, url string, header map[string]string, body []byte) (*HTTPResponse, error) {
	le := binary.LittleEndian
	b := make([]byte, abi.HTTPSize)
	le.PutUint32(b, abi.HTTPSize)
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
	out, code := host.HTTPCall(b)
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
