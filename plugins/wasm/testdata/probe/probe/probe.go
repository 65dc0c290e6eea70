// Package probe is a plugin that does what the first record's value says, or what its configuration
// says.
package probe

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

type probe struct {
	SelfTestFails bool   `json:"self_test_fails"`
	Deny          string `json:"deny"` // the server name, or address, that may not connect
	URL           string `json:"url"`
	Loop          bool   `json:"loop"` // in Configure

	hog   [][]byte
	ticks *sdk.Metric
}

func (p *probe) Configure(b []byte) error {
	if err := json.Unmarshal(b, p); err != nil {
		return err
	}
	for p.Loop {
		p.hog = p.hog[:0]
	}
	return nil
}

func (p *probe) SelfTest() error {
	if p.SelfTestFails {
		return errors.New("it does not work")
	}
	return nil
}

//go:noinline
func recurse(n int) int {
	if n < 0 {
		return n
	}
	return recurse(n+1) + recurse(n+2)
}

// hostile does what breaks a guest, if told to.
func (p *probe) hostile(gw *sdk.Gateway, what string) error {
	switch what {
	case "loop":
		for {
			p.hog = p.hog[:0]
		}
	case "recurse":
		recurse(0)
	case "panic":
		panic("boom")
	case "memory":
		for {
			p.hog = append(p.hog, make([]byte, 1<<20))
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(3)
	case "log":
		for i := range 100_000 {
			gw.Logf(sdk.Info, "line %d", i)
		}
	case "refuse":
		return errors.New("not like this")
	case "code":
		return sdk.Errorf(sdk.InvalidRecord, "wrong")
	}
	return nil
}

// upper clears a bit of every byte, eight at a time: loops over bytes are what is slow in WASM.
func upper(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)&^0x2020202020202020)
	}
	for i := range b {
		b[i] &^= 0x20
	}
}

func (p *probe) records(r *sdk.Records) error {
	if err := p.hostile(r.Gateway(), string(r.At(0).Value())); err != nil {
		return err
	}
	for i, rec := range r.All() {
		switch v := string(rec.Value()); {
		case v == "drop":
			rec.Drop()
		case v == "reject":
			rec.Reject(sdk.InvalidRecord, "no good")
		case v == "null":
			rec.SetValue(nil)
		case v == "key":
			rec.SetKey([]byte("another"))
		case v == "time":
			rec.SetTimestamp(time.UnixMilli(77))
		case v == "headers":
			rec.RemoveHeaders("old")
			rec.AddHeader("new", []byte("n"))
			rec.AddHeader("null", nil)
		case strings.HasPrefix(v, "upper"):
			upper(rec.Value())
			rec.SetValueInPlace()
		case v == "where":
			for g := range r.Groups() {
				rec.AddHeader("group", fmt.Appendf(nil, "%s/%d %d %d %t", g.Topic(), g.Partition(), g.Len(), g.ProducerID(), g.Transactional()))
			}
			rec.AddHeader("call", fmt.Appendf(nil, "%s %s %d %d %q", r.ClientID(), r.VirtualCluster(), r.Key(), i, r.State()))
		case strings.HasPrefix(v, "kv"):
			rec.SetValue([]byte(kv(r.Gateway())))
		case v == "trace":
			r.Gateway().SetAttribute("trace", r.Gateway().TraceID())
			rec.SetValue([]byte(r.Gateway().TraceParent()))
		case v == "http":
			rec.SetValue([]byte(p.http(r.Gateway())))
		case v == "http within":
			rec.SetValue([]byte(p.http(r.Gateway(), sdk.Within(20*time.Millisecond))))
		case v == "send":
			rec.SetValue([]byte(send(r.Gateway())))
		case v == "send within":
			rec.SetValue([]byte(send(r.Gateway(), sdk.Within(20*time.Millisecond))))
		case v == "poison":
			panic("a poison record\nthat kills")
		case v == "slow poison":
			for time.Now().Before(r.Deadline().Add(time.Minute)) {
				p.hog = p.hog[:0]
			}
		case v == "garbage":
			for range 100 {
				p.hog = append(p.hog[:0], make([]byte, 100_000))
			}
		}
	}
	return nil
}

func (p *probe) OnProduce(r *sdk.Records) error { return p.records(r) }
func (p *probe) OnFetch(r *sdk.Records) error   { return p.records(r) }

func kv(gw *sdk.Gateway) string {
	n, err := gw.Add("count", 2, 0)
	if err != nil {
		return err.Error()
	}
	err = errors.Join(gw.Set("name", []byte("value"), 0), gw.CompareAndSet("name", []byte("value"), []byte(strings.Repeat("long ", 100)), time.Hour))
	changed := gw.CompareAndSet("name", nil, []byte("x"), 0)
	v, err2 := gw.Get("name")
	missing, err3 := gw.Get("missing")
	return fmt.Sprint(n, errors.Join(err, err2, err3), changed, len(v), missing == nil)
}

func (p *probe) http(gw *sdk.Gateway, options ...sdk.CallOption) string {
	r, err := gw.HTTP("POST", p.URL, map[string]string{"X-Ask": "me"}, []byte("body"), options...)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(r.Status, r.Header["X-Answer"], string(r.Body))
}

func send(gw *sdk.Gateway, options ...sdk.CallOption) string {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(7)
	resp := kmsg.NewPtrMetadataResponse()
	if err := gw.Send(req, resp, options...); err != nil {
		return err.Error()
	}
	return fmt.Sprint(len(resp.Topics), *resp.Topics[0].Topic)
}

func createTopics(r *sdk.Request, m *kmsg.CreateTopicsRequest) error {
	switch m.Topics[0].Topic {
	case "refuse":
		return sdk.Errorf(sdk.PolicyViolation, "not by that name")
	case "respond":
		resp := m.ResponseKind().(*kmsg.CreateTopicsResponse)
		resp.ThrottleMillis = 42
		r.Respond(resp)
	case "close":
		r.Close()
	case "rename":
		m.Topics[0].Topic = "renamed"
		r.SetState([]byte("renamed from rename"))
		r.Forward(m)
	case "loop", "panic":
		return (&probe{}).hostile(r.Gateway(), m.Topics[0].Topic)
	}
	return nil
}

func createdTopics(r *sdk.Response, m *kmsg.CreateTopicsResponse) error {
	if s := string(r.State()); s != "" {
		m.Topics[0].ErrorMessage = &s
		r.Forward(m)
	}
	return nil
}

func (p *probe) OnSession(s *sdk.Session) error {
	if s.Event() == sdk.Connected && p.Deny != "" && strings.HasPrefix(s.Address(), p.Deny) {
		return errors.New("denied")
	}
	sdk.NewCounter("sessions_total", map[string]string{"event": fmt.Sprint(s.Event())}).Add(s.Gateway(), 1)
	return nil
}

func (p *probe) OnTick(gw *sdk.Gateway, _ time.Time) { p.ticks.Add(gw, 1) }

// New returns the plugin.
func New() *sdk.Guest {
	return sdk.New("probe", &probe{ticks: sdk.NewCounter("ticks_total", nil)}, sdk.Version("1.2"), sdk.Every(20*time.Millisecond),
		sdk.Needs(abi.CapKV, abi.CapHTTP, abi.CapSendRequest), sdk.OnRequest(createTopics), sdk.OnResponse(createdTopics))
}
