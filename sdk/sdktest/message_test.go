package sdktest_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func create(version int16, topic string) *kmsg.CreateTopicsRequest {
	m := kmsg.NewPtrCreateTopicsRequest()
	m.SetVersion(version)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic = topic
	m.Topics = append(m.Topics, t)
	return m
}

// TestMessages are forwarded, changed, answered, refused, and closed; what a request leaves its
// response sees.
func TestMessages(t *testing.T) {
	g := sdk.New("scripted", nil, sdk.OnRequest(func(r *sdk.Request, m *kmsg.CreateTopicsRequest) error {
		switch m.Topics[0].Topic {
		case "rename":
			m.Topics[0].Topic = "of " + r.ClientID()
			r.SetState([]byte("left"))
			r.Forward(m)
		case "respond":
			resp := kmsg.NewPtrCreateTopicsResponse()
			resp.ThrottleMillis = 7
			r.Respond(resp)
		case "refuse":
			return sdk.Errorf(sdk.PolicyViolation, "no")
		case "close":
			r.Close()
		}
		return nil
	}), sdk.OnResponse(func(r *sdk.Response, m *kmsg.CreateTopicsResponse) error {
		if string(r.State()) == "left" {
			m.ThrottleMillis = 9
			r.Forward(m)
		}
		return nil
	}))
	for _, version := range []int16{2, 7} { // before and with tagged fields
		ask := func(topic string) sdktest.Answer {
			t.Helper()
			a, err := sdktest.Request(g, sdktest.Client{ID: "app"}, create(version, topic))
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		switch a := ask("plain"); {
		case a.Forward != nil:
			t.Errorf("untouched, but forwarded as %q", a.Forward)
		case a.Respond != nil:
			t.Errorf("untouched, but answered with %q", a.Respond)
		case a.Refused != nil:
			t.Errorf("untouched, but refused: %v", a.Refused)
		case a.Closed:
			t.Error("untouched, but the connection is closed")
		}
		a := ask("rename")
		m, err := sdktest.Into(a.Forward, create(version, ""))
		if err != nil || m.Topics[0].Topic != "of app" || string(a.State) != "left" {
			t.Errorf("forwarded: %+v, %v", a, err)
		}
		resp := kmsg.NewPtrCreateTopicsResponse()
		resp.SetVersion(version)
		if b := ask("respond"); b.Respond == nil {
			t.Errorf("answered: %+v", b)
		} else if got, err := sdktest.Into(b.Respond, resp); err != nil || got.ThrottleMillis != 7 {
			t.Errorf("answered: %+v, %v", got, err)
		}
		if b := ask("refuse"); b.Refused == nil || b.Refused.Code != sdk.PolicyViolation || b.Refused.Message != "no" {
			t.Errorf("refused: %+v", b)
		}
		if b := ask("close"); !b.Closed {
			t.Errorf("closed: %+v", b)
		}
		b, err := sdktest.Response(g, sdktest.Client{}, resp, a.State)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sdktest.Into(b.Forward, resp); err != nil || got.ThrottleMillis != 9 {
			t.Errorf("the response: %+v, %v", got, err)
		}
		if _, err := sdktest.Into(nil, resp); err == nil {
			t.Error("no body was read")
		}
	}
}
