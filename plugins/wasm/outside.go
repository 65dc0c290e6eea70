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

// wait is the context of an import that waits: it ends with the call, or after the guest's own limit in milliseconds.
func (i *instance) wait(limit uint32) (context.Context, context.CancelFunc) {
	end := i.deadline
	if own := time.Now().Add(time.Duration(limit) * time.Millisecond); limit > 0 && own.Before(end) {
		end = own
	}
	return context.WithDeadline(i.request, end)
}

// timeout is what an import returns that has waited too long. If it was the call's deadline that ended it, there is nobody to return
// to.
func (i *instance) timeout() uint64 {
	i.yield()
	return negative(abi.ErrTimeout)
}

// sendRequest sends a request of the guest's own through the chain below it.
func sendRequest(i *instance, s []uint64) uint64 {
	if i.head == nil || i.head.Below == nil || !contains(i.guest.Grant, abi.CapSendRequest) {
		return negative(abi.ErrDenied)
	}
	b, ok := i.bytes32(s[0], s[1], 16<<20)
	if !ok || len(b) < abi.SendHead {
		return negative(abi.ErrArgument)
	}
	key, version := kmsg.Key(int16(le.Uint16(b))), int16(le.Uint16(b[2:]))
	api, known := kafka.Lookup(key)
	if !known || version < 0 || version > api.MaxVersion {
		return negative(abi.ErrArgument)
	}
	body := kafka.NewRequestBody(key, version, bytes.Clone(b[abi.SendHead:]))
	if _, err := body.Peek(); err != nil {
		return negative(abi.ErrArgument)
	}
	ctx, cancel := i.wait(le.Uint32(b[abi.SendTimeout:]))
	defer cancel()
	req := &plugin.Request{Body: body, Session: i.head.Own, Arrived: time.Now(), Target: plugin.Target{Node: plugin.AnyNode}}
	req.Key, req.Version, req.ClientID, req.HasClientID = key, version, i.guest.Name, true
	resp, err := plugin.Protect(ctx, req, i.head.Below(key))
	switch {
	case ctx.Err() != nil:
		return i.timeout()
	case err != nil:
		i.guest.logLine(i.ctx, abi.LogWarn, []byte("send_request: "+err.Error()))
		return negative(abi.ErrNone)
	case resp == nil:
		return i.hold(nil)
	}
	out := bytes.Clone(resp.Body.Bytes())
	if resp.Release != nil {
		resp.Release()
	}
	return i.hold(out)
}

// httpLimit bounds the answers of http_call.
const httpLimit = 4 << 20

var errHost = errors.New("the host is not in http_hosts")

func (g *Guest) mayReach(host string) bool { return slices.Contains(g.HTTPHosts, host) }

// httpCall makes an HTTP request to an allowed host.
func httpCall(i *instance, s []uint64) uint64 {
	g := i.guest
	if !contains(g.Grant, abi.CapHTTP) {
		return negative(abi.ErrDenied)
	}
	b, ok := i.bytes32(s[0], s[1], httpLimit)
	if !ok || len(b) < abi.HTTPSize {
		return negative(abi.ErrArgument)
	}
	ctx, cancel := i.wait(le.Uint32(b[abi.HTTPTimeout:]))
	defer cancel()
	req, ok := httpRequest(ctx, b)
	switch {
	case !ok:
		return negative(abi.ErrArgument)
	case !g.mayReach(req.URL.Host):
		return negative(abi.ErrDenied)
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
		return negative(abi.ErrDenied)
	case err != nil && ctx.Err() != nil:
		return i.timeout()
	case err != nil:
		g.logLine(ctx, abi.LogWarn, []byte("http_call: "+err.Error()))
		return negative(abi.ErrNone)
	case len(body) > httpLimit:
		return negative(abi.ErrTooLarge)
	}
	return i.hold(httpResult(resp, body))
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
