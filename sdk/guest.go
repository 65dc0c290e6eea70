// Package sdk is what authors of plugins write against. The same code runs as a guest in the
// gateway (GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared), natively in tests, and compiled
// into a gateway.
package sdk

import (
	"errors"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Guest is a registered plugin.
type Guest struct {
	plugin   any
	handlers []handler
	manifest manifest
	gateway  *Gateway

	records  Records
	out, msg []byte
}

// manifest is what a guest says of itself; see ABI.md.
type manifest struct {
	Name           string
	Version        string
	Records        []string
	Requests       []subscription
	Responses      []subscription
	Session        bool
	TickMS         int64
	Host           []string
	FailClosedOnly bool
}

type subscription struct {
	API int16
	Max int16
}

// New makes a guest of a plugin, which implements any of Producer, Fetcher, Configurer, Watcher,
// Ticker and Closer, and may have handlers of messages. Register makes it the one of a module.
func New(name string, plugin any, options ...Option) *Guest {
	g := &Guest{plugin: plugin, manifest: manifest{Name: name}, gateway: NewGateway(newHost())}
	for _, o := range options {
		o(g)
	}
	if _, ok := plugin.(Producer); ok {
		g.manifest.Records = append(g.manifest.Records, "produce")
	}
	if _, ok := plugin.(Fetcher); ok {
		g.manifest.Records = append(g.manifest.Records, "fetch")
	}
	_, g.manifest.Session = plugin.(Watcher)
	for _, h := range g.handlers {
		if h.request != nil {
			g.manifest.Requests = append(g.manifest.Requests, subscription{h.key, h.max})
		} else {
			g.manifest.Responses = append(g.manifest.Responses, subscription{h.key, h.max})
		}
	}
	return g
}

// SetHost makes h what the guest asks of its gateway. One that runs natively begins with a Memory.
func (g *Guest) SetHost(h Host) { g.gateway = NewGateway(h) }

// Manifest is the guest's manifest, JSON.
func (g *Guest) Manifest() []byte {
	m := &g.manifest
	return object{}.text("name", m.Name).text("version", m.Version).texts("records", m.Records).
		list("requests", len(m.Requests), func(out object, i int) object { return m.Requests[i].append(out) }).
		list("responses", len(m.Responses), func(out object, i int) object { return m.Responses[i].append(out) }).
		yes("session", m.Session).number("tick_ms", m.TickMS).texts("host", m.Host).yes("fail_closed_only", m.FailClosedOnly).closed()
}

// append appends it; that of the API with the number 0 says so.
func (s subscription) append(out object) object {
	in := strconv.AppendInt(object{}.field("api"), int64(s.API), 10)
	return append(out, object(strconv.AppendInt(object(in).field("max"), int64(s.Max), 10)).closed()...)
}

// Configure gives the plugin its configuration, {} if there is none.
func (g *Guest) Configure(b []byte) error {
	c, ok := g.plugin.(Configurer)
	switch {
	case ok:
		return c.Configure(b)
	case string(b) == "{}":
		return nil
	}
	return errors.New(g.manifest.Name + " has no configuration")
}

// Call handles a block and returns the result block, nil for "unchanged". The result is valid until
// the next call. A guest serves one call at a time.
func (g *Guest) Call(block []byte) []byte {
	switch kind := u16(block, abi.HeadKind); kind {
	case abi.KindProduce, abi.KindFetch:
		return g.onRecords(block, kind == abi.KindProduce)
	case abi.KindRequest:
		return g.onRequest(block)
	case abi.KindResponse:
		return g.onResponse(block)
	case abi.KindSession:
		w, ok := g.plugin.(Watcher)
		if !ok {
			return nil
		}
		if err := w.OnSession(&Session{g.context(block)}); err != nil {
			return g.answer(abi.ActionClose, 0, err.Error(), nil, nil)
		}
	}
	return nil
}

func (g *Guest) context(block []byte) Context { return Context{gateway: g.gateway, block: block} }

func (g *Guest) answer(action uint16, code int16, message string, state, body []byte) []byte {
	g.out = result(g.out, action, code, message, state, body)
	return g.out
}

func (g *Guest) refuse(err error) []byte {
	code, message := refusal(err)
	return g.answer(abi.ActionError, code, message, nil, nil)
}

func (g *Guest) onRecords(block []byte, produce bool) []byte {
	r := &g.records
	r.begin(g.gateway, block)
	var err error
	if p, ok := g.plugin.(Producer); ok && produce {
		err = p.OnProduce(r)
	} else if f, ok := g.plugin.(Fetcher); ok && !produce {
		err = f.OnFetch(r)
	}
	if err != nil {
		return g.refuse(err)
	}
	return r.result()
}

// some is nil for nothing: the piece is absent.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func (g *Guest) onRequest(block []byte) []byte {
	r := &Request{Context: g.context(block)}
	for _, h := range g.handlers {
		if h.request == nil || h.key != r.Key() {
			continue
		}
		if err := h.request(r, piece(block, abi.HeadBody)); err != nil {
			return g.refuse(err)
		}
	}
	switch {
	case r.respond != nil:
		action := uint16(abi.ActionRespond)
		if r.close {
			action = abi.ActionRespondClose
		}
		return g.answer(action, 0, "", nil, g.encode(r.respond))
	case r.close:
		return g.answer(abi.ActionClose, 0, "", nil, nil)
	case r.forward != nil:
		return g.answer(abi.ActionForward, 0, "", some(r.state), g.encode(r.forward))
	case len(r.state) > 0:
		return g.answer(abi.ActionForward, 0, "", r.state, nil)
	}
	return nil
}

func (g *Guest) onResponse(block []byte) []byte {
	r := &Response{Context: g.context(block)}
	for _, h := range g.handlers {
		if h.response == nil || h.key != r.Key() {
			continue
		}
		if err := h.response(r, piece(block, abi.HeadBody)); err != nil {
			return g.refuse(err)
		}
	}
	switch {
	case r.close && r.forward != nil:
		return g.answer(abi.ActionRespondClose, 0, "", nil, g.encode(r.forward))
	case r.close:
		return g.answer(abi.ActionRespondClose, 0, "", nil, nil)
	case r.forward != nil:
		return g.answer(abi.ActionForward, 0, "", nil, g.encode(r.forward))
	}
	return nil
}

// encode writes a message; a body of no bytes is one too.
func (g *Guest) encode(m Message) []byte {
	g.msg = m.AppendTo(g.msg[:0])
	if g.msg == nil {
		g.msg = none
	}
	return g.msg
}

// SelfTest runs the plugin's SelfTest.
func (g *Guest) SelfTest() error {
	if s, ok := g.plugin.(SelfTester); ok {
		return s.SelfTest()
	}
	return nil
}

// Tick calls the plugin's OnTick.
func (g *Guest) Tick(nowMS int64) {
	if t, ok := g.plugin.(Ticker); ok {
		t.OnTick(g.gateway, time.UnixMilli(nowMS))
	}
}

// Close tells the plugin of its end.
func (g *Guest) Close() {
	if c, ok := g.plugin.(Closer); ok {
		c.Close()
	}
}
