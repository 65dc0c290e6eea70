package wasm

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// create asks for a topic, which is answered as created unless the guest says otherwise.
func create(t *testing.T, w *Wasm, name string) (sent string, resp *kmsg.CreateTopicsResponse, err error) {
	t.Helper()
	m := kmsg.NewPtrCreateTopicsRequest()
	m.SetVersion(5)
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions = name, 3
	m.Topics = append(m.Topics, rt)
	out, err := w.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		sent = plugintest.Sent[*kmsg.CreateTopicsRequest](t, req).Topics[0].Topic
		return plugin.Fail(req, 0, "")
	}))
	if err != nil {
		return sent, nil, err
	}
	return sent, plugintest.Decode[*kmsg.CreateTopicsResponse](t, out), nil
}

// TestMessages: a guest changes, answers, refuses and lets go by; what it left with a request comes
// back with its response.
func TestMessages(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		if sent, resp, err := create(t, w, "plain"); err != nil || sent != "plain" || resp.Topics[0].ErrorMessage != nil && *resp.Topics[0].ErrorMessage != "" {
			t.Errorf("untouched: sent %q, %+v, %v", sent, resp, err)
		}
		if sent, resp, err := create(t, w, "rename"); err != nil || sent != "renamed" || *resp.Topics[0].ErrorMessage != "renamed from rename" {
			t.Errorf("changed: sent %q, %+v, %v", sent, resp, err)
		}
		if sent, resp, err := create(t, w, "respond"); err != nil || sent != "" || resp.ThrottleMillis != 42 {
			t.Errorf("answered: sent %q, %+v, %v", sent, resp, err)
		}
		{
			sent, resp, err := create(t, w, "refuse")
			about := fact.Of(t, "refused: sent %q, %+v, %v", sent, resp, err)
			if fact.NoError(about, err) {
				fact.Equal(about, "sent", sent, "")
				fact.Equal(about, "resp.Topics[0].ErrorCode", resp.Topics[0].ErrorCode, 44)
				fact.Equal(about, "*resp.Topics[0].ErrorMessage", *resp.Topics[0].ErrorMessage, "not by that name")
			}
		}
		if sent, _, err := create(t, w, "close"); !plugin.Closes(err) || sent != "" {
			t.Errorf("closed: sent %q, %v", sent, err)
		}
	})
}

// TestVersionsOfMessages: clients are offered no version that the guest does not understand.
func TestVersionsOfMessages(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		highest := kmsg.NewPtrCreateTopicsRequest().MaxVersion()
		if got := w.MaxVersion(int16(kmsg.CreateTopics), highest+1); got != highest {
			t.Errorf("CreateTopics up to %d", got)
		}
		if got := w.MaxVersion(int16(kmsg.Produce), 13); got != 13 {
			t.Errorf("records are shown in every version, but Produce is offered up to %d", got)
		}
		for _, k := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.CreateTopics} {
			if !slices.Contains(w.Keys().Keys(), k) {
				t.Errorf("it does not stand in row %d", k)
			}
		}
		if slices.Contains(w.Keys().Keys(), kmsg.Metadata) {
			t.Error("it stands in a row that it does not ask for")
		}
	})
}

// TestSessions: a guest sees clients come and go, and may refuse them.
func TestSessions(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, `, config: {deny: "192.0.2.1:"}`)
		for host, denied := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false} {
			s := plugin.NewSession(t.Context(), 7, &net.TCPAddr{IP: net.ParseIP(host), Port: 4000}, nil)
			if err := w.SessionOpened(t.Context(), s); (err != nil) != denied || denied && !strings.Contains(err.Error(), "denied") {
				t.Errorf("%s: %v", host, err)
			}
			w.SessionClosed(t.Context(), s)
		}
		got := map[string]float64{}
		for _, s := range w.Guest().Metrics.All() {
			got[s.Name+s.Labels["event"]] = s.Value
		}
		if got["sessions_total1"] != 1 || got["sessions_total3"] != 2 {
			t.Errorf("metrics %v", got)
		}
	})
}
