package blocks

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// HTTPRequest reads the request of http_call; false if it is none. The block has its fixed part.
func HTTPRequest(ctx context.Context, b []byte) (*http.Request, bool) {
	var p [4][]byte
	for i, at := range []int{abi.HTTPMethod, abi.HTTPTarget, abi.HTTPHeaders, abi.HTTPBody} {
		off, n := uint64(le.Uint32(b[at:])), uint64(le.Uint32(b[at+4:]))
		if off+n > uint64(len(b)) {
			return nil, false
		}
		p[i] = bytes.Clone(b[off : off+n])
	}
	req, err := http.NewRequestWithContext(ctx, string(p[0]), string(p[1]), bytes.NewReader(p[3]))
	if err != nil || (req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		return nil, false
	}
	for h := p[2]; len(h) > 0; {
		if len(h) < 8 {
			return nil, false
		}
		kn, vn := uint64(le.Uint32(h)), uint64(le.Uint32(h[4:]))
		if h = h[8:]; kn+vn > uint64(len(h)) {
			return nil, false
		}
		req.Header.Add(string(h[:kn]), string(h[kn:kn+vn]))
		h = h[kn+vn:]
	}
	return req, true
}

// HTTPResult is the block that answers http_call.
func HTTPResult(resp *http.Response, body []byte) []byte {
	out := make([]byte, abi.HTTPSize, abi.HTTPSize+len(body)+256)
	le.PutUint32(out[abi.HTTPLen:], abi.HTTPSize)
	le.PutUint32(out[abi.HTTPStatus:], uint32(resp.StatusCode))
	var headers []byte
	for k, list := range resp.Header {
		v := strings.Join(list, ", ")
		headers = le.AppendUint32(le.AppendUint32(headers, uint32(len(k))), uint32(len(v)))
		headers = append(append(headers, k...), v...)
	}
	out = appendPiece(out, 0, abi.HTTPHeaders, headers)
	return appendPiece(out, 0, abi.HTTPBody, body)
}
