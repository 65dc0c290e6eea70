package wasm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// sendLimit bounds the requests of send_request, and the responses.
const sendLimit = 16 << 20

// SendRequest sends a request of the guest's own through the chain below it.
func (c *call) SendRequest(b []byte) ([]byte, int32) {
	switch {
	case c.head == nil || c.head.Below == nil || !grants(c.guest.Grant).covers(abi.CapSendRequest):
		return nil, abi.ErrDenied
	case len(b) < abi.SendHead || len(b) > sendLimit:
		return nil, abi.ErrArgument
	}
	key, version := kmsg.Key(int16(le.Uint16(b))), int16(le.Uint16(b[2:]))
	api, known := kafka.Lookup(key)
	switch {
	case !known || version < 0 || version > api.MaxVersion:
		return nil, abi.ErrArgument
	case !grants(c.guest.Grant).maySend(key):
		return nil, abi.ErrDenied
	}
	body := kafka.NewRequestBody(key, version, bytes.Clone(b[abi.SendHead:]))
	if _, err := body.Peek(); err != nil {
		return nil, abi.ErrArgument
	}
	ctx, cancel := c.wait(le.Uint32(b[abi.SendTimeout:]))
	defer cancel()
	req := ownRequest(body, c.head.Own, c.guest.Name)
	resp, err := plugin.Protect(ctx, req, c.head.Below(key))
	switch {
	case ctx.Err() != nil:
		return nil, abi.ErrTimeout
	case err != nil:
		c.guest.logLine(c.request, abi.LogWarn, "send_request: "+err.Error())
		return nil, abi.ErrNone
	case resp == nil:
		return nil, 0
	}
	if resp.Release != nil {
		defer resp.Release()
	}
	if b := resp.Body.Bytes(); len(b) <= sendLimit {
		return bytes.Clone(b), 0
	}
	return nil, abi.ErrTooLarge
}

// ownRequest is a request that no client has sent.
func ownRequest(body *kafka.RequestBody, own *plugin.Session, name string) *plugin.Request {
	req := &plugin.Request{Body: body, Session: own, Arrived: time.Now(), Target: plugin.Target{Node: plugin.AnyNode}}
	req.Key, req.Version, req.ClientID, req.HasClientID = body.Key(), body.Version(), name, true
	return req
}

// httpLimit bounds the answers of http_call.
const httpLimit = 4 << 20

var errHost = errors.New("the host is not in http_hosts")

func (g *Guest) mayReach(host string) bool { return slices.Contains(g.HTTPHosts, host) }

// HTTPCall makes an HTTP request to an allowed host.
func (c *call) HTTPCall(b []byte) ([]byte, int32) {
	g := c.guest
	switch {
	case !grants(g.Grant).covers(abi.CapHTTP):
		return nil, abi.ErrDenied
	case len(b) < abi.HTTPSize || len(b) > httpLimit:
		return nil, abi.ErrArgument
	}
	ctx, cancel := c.wait(le.Uint32(b[abi.HTTPTimeout:]))
	defer cancel()
	req, ok := httpRequest(ctx, b)
	switch {
	case !ok:
		return nil, abi.ErrArgument
	case !g.mayReach(req.URL.Host):
		return nil, abi.ErrDenied
	}
	client := http.Client{CheckRedirect: func(to *http.Request, _ []*http.Request) error {
		if !g.mayReach(to.URL.Host) {
			return errHost
		}
		return nil
	}}
	resp, err := client.Do(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, httpLimit+1))
		_ = resp.Body.Close()
	}
	switch {
	case errors.Is(err, errHost):
		return nil, abi.ErrDenied
	case err != nil && ctx.Err() != nil:
		return nil, abi.ErrTimeout
	case err != nil:
		g.logLine(ctx, abi.LogWarn, "http_call: "+err.Error())
		return nil, abi.ErrNone
	case len(body) > httpLimit:
		return nil, abi.ErrTooLarge
	}
	return httpResult(resp, body), 0
}

// httpRequest reads a block of http_call, which has a head.
func httpRequest(ctx context.Context, b []byte) (*http.Request, bool) {
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

func httpResult(resp *http.Response, body []byte) []byte {
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
