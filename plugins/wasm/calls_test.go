package wasm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// answer is what the probe makes of a value.
func answer(t *testing.T, w *Wasm, value string) string {
	t.Helper()
	sent, _, err := run(t, w, produce("orders", records(t, shape{}, value)))
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	_, list := first(t, sent)
	return string(list[0].Value)
}

// TestTheStore is one for all instances, and denied to a guest that it was not granted.
func TestTheStore(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		if got := answer(t, w, "kv"); got != "2 <nil> the value is another one 500 true" {
			t.Error(got)
		}
		if got := answer(t, w, "kv again"); !strings.HasPrefix(got, "4 ") {
			t.Error(got)
		}
		if got := w.Guest().Store.Used(); got < 500 || got > 1000 {
			t.Errorf("%d bytes used", got)
		}
	})
}

// TestHTTPReachesAllowedHostsAlone, through redirects too.
func TestHTTPReachesAllowedHostsAlone(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		other := httptest.NewServer(http.NotFoundHandler())
		defer other.Close()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/away" {
				http.Redirect(w, r, other.URL, http.StatusFound)
				return
			}
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Answer", r.Header.Get("X-Ask"))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "%s %s", r.Method, b)
		}))
		defer s.Close()
		host := strings.TrimPrefix(s.URL, "http://")
		for url, want := range map[string]string{s.URL: "201mePOST body", s.URL + "/away": "not granted by the operator", other.URL: "not granted by the operator", "file:///etc/passwd": "bad argument"} {
			w := probing(t, fmt.Sprintf(", http_hosts: [%q], config: {url: %q}", host, url))
			if got := answer(t, w, "http"); got != want {
				t.Errorf("%s: %q, want %q", url, got, want)
			}
		}
	})
}

// TestRequestsOfItsOwn go through the chain below.
func TestRequestsOfItsOwn(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		if got := answer(t, w, "send"); got != "not granted by the operator" {
			t.Errorf("without a chain: %q", got)
		}
		w.SetBelow(func(key kmsg.Key) plugin.Handler {
			return plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
				about := fact.Of(t, "request %+v of %d", req, key)
				fact.Equal(about, "key", key, kmsg.Metadata)
				fact.Equal(about, "req.Version", req.Version, 7)
				if fact.True(about, "req.Session != nil", req.Session != nil) {
					fact.Equal(about, "req.ClientID", req.ClientID, "probe")
				}
				resp := kmsg.NewPtrMetadataResponse()
				resp.SetVersion(7)
				topic := "found"
				mt := kmsg.NewMetadataResponseTopic()
				mt.Topic = &topic
				resp.Topics = append(resp.Topics, mt)
				return plugin.Respond(resp), nil
			})
		})
		if got := answer(t, w, "send"); got != "1found" {
			t.Error(got)
		}
	})
}

// TestRequestsAreGrantedByAPI: those of others are denied, and what a guest asks for must be
// granted.
func TestRequestsAreGrantedByAPI(t *testing.T) {
	for _, c := range []struct {
		asked, granted string
		refused        bool // at load
		denied         bool
	}{
		{"send_request", "send_request", false, false}, {"send_request", "send_request:Metadata", false, false}, {"send_request", "send_request:Produce", false, true},
		{"send_request:Metadata", "send_request", false, false}, {"send_request:Metadata", "send_request:Metadata", false, false},
		{"send_request:Metadata", "send_request:Produce", true, true}, {"send_request", "kv", true, true},
	} {
		create := func() *sdk.Guest { return sdk.New("sender", sender{}, sdk.Needs(c.asked)) }
		i, err := Compiled("sender", create).New(t.Context(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders")), plugintest.Section(t, fmt.Sprintf("{grant: [%q], limits: {timeout: 5m}}", c.granted)))
		if (err != nil) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		w := i.(*Wasm)
		w.SetBelow(func(kmsg.Key) plugin.Handler { return throttled(t, 0) })
		if got, want := answer(t, w, "x"), map[bool]string{true: sdk.ErrDenied.Error(), false: "sent"}[c.denied]; got != want {
			t.Errorf("%+v: %q", c, got)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sender asks for metadata.
type sender struct{}

func (sender) OnProduce(r *sdk.Records) error {
	req, resp := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataResponse()
	req.SetVersion(7)
	said := "sent"
	if err := r.Gateway().Send(req, resp); err != nil {
		said = err.Error()
	}
	r.At(0).SetValue([]byte(said))
	return nil
}

// TestCallsToTheOutsideEnd with the call that makes them, or at the limit that the guest sets: then
// it goes on.
func TestCallsToTheOutsideEnd(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server would not see its client go
			<-r.Context().Done()
		}))
		defer silent.Close()
		open := func(more string) *Wasm {
			w := probing(t, fmt.Sprintf(", http_hosts: [%q], config: {url: %q}%s", strings.TrimPrefix(silent.URL, "http://"), silent.URL, more))
			w.SetBelow(func(kmsg.Key) plugin.Handler {
				return plugin.HandlerFunc(func(ctx context.Context, _ *plugin.Request) (*plugin.Response, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
			})
			return w
		}
		w, short := open(""), open(", limits: {timeout: 300ms}")
		for _, what := range []string{"http", "send"} {
			before := w.Guest().Replaced.Load()
			if got := answer(t, w, what+" within"); got != "timed out" {
				t.Errorf("%s: %q", what, got)
			}
			if w.Guest().Replaced.Load() != before {
				t.Errorf("%s: its own limit ended the guest", what)
			}
			if sent, _, err := run(t, short, produce("orders", records(t, shape{}, what))); err == nil || sent != nil {
				t.Errorf("%s: it outlived the call", what)
			}
		}
	})
}

// TestTicks come though nobody sends a request.
func TestTicks(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		if !eventually.True(func() bool {
			all := w.Guest().Metrics.All()
			return len(all) > 0 && all[0].Name == "ticks_total" && all[0].Value >= 3
		}) {
			t.Fatal("no ticks")
		}
	})
}
