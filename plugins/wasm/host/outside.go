package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// sendLimit bounds the requests of send_request, and the responses.
const sendLimit = 16 << 20

// SendRequest sends a request of the guest's own through the chain below it.
func (c *call) SendRequest(b []byte) ([]byte, int32) {
	switch {
	case c.head == nil || c.head.Below == nil || !c.guest.Grant.Covers(abi.CapSendRequest):
		return nil, abi.ErrDenied
	case len(b) < abi.SendHead || len(b) > sendLimit:
		return nil, abi.ErrArgument
	}
	key, version := kmsg.Key(int16(binary.LittleEndian.Uint16(b))), int16(binary.LittleEndian.Uint16(b[2:]))
	api, known := kafka.Lookup(key)
	switch {
	case !known || version < 0 || version > api.MaxVersion:
		return nil, abi.ErrArgument
	case !c.guest.Grant.MaySend(key):
		return nil, abi.ErrDenied
	}
	body := kafka.NewRequestBody(key, version, bytes.Clone(b[abi.SendHead:]))
	if _, err := body.Peek(); err != nil {
		return nil, abi.ErrArgument
	}
	ctx, cancel := c.wait(binary.LittleEndian.Uint32(b[abi.SendTimeout:]))
	defer cancel()
	req := OwnRequest(body, c.head.Own, c.guest.Name)
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

// OwnRequest is a request that no client has sent.
func OwnRequest(body *kafka.RequestBody, own *plugin.Session, name string) *plugin.Request {
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
	case !g.Grant.Covers(abi.CapHTTP):
		return nil, abi.ErrDenied
	case len(b) < abi.HTTPSize || len(b) > httpLimit:
		return nil, abi.ErrArgument
	}
	ctx, cancel := c.wait(binary.LittleEndian.Uint32(b[abi.HTTPTimeout:]))
	defer cancel()
	req, ok := blocks.HTTPRequest(ctx, b)
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
	return blocks.HTTPResult(resp, body), 0
}
