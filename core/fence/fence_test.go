package fence

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/fact"
)

var call = Call{Action: Raise, Number: 7, VirtualCluster: "vc", Topic: "orders", Cluster: "prod", ClusterTopic: "eu.orders", Move: "m-1", To: "dr", Planned: true}

// TestACallSaysWhatIsToBeFenced, in the form that is documented.
func TestACallSaysWhatIsToBeFenced(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	h := New(s.URL+"/fence", map[string]string{"authorization": "Bearer one"}, nil, time.Minute)
	defer h.Close()
	about := fact.Must(t, "call")
	fact.NoError(about, h.Ask(t.Context(), call))
	fact.Equal(about, "method", got.Method, "POST")
	fact.Equal(about, "path", got.URL.Path, "/fence")
	fact.Equal(about, "type", got.Header.Get("Content-Type"), "application/json")
	fact.Equal(about, "authorization", got.Header.Get("Authorization"), "Bearer one")
	fact.Equal(about, "key", got.Header.Get("Idempotency-Key"), "7")
	fact.Equal(about, "body", string(body), `{"action":"fence","number":7,"virtual_cluster":"vc","topic":"orders","cluster":"prod","cluster_topic":"eu.orders","move":"m-1","to":"dr","planned":true}`)
	var back Call
	fact.NoError(about, json.Unmarshal(body, &back))
	fact.Deep(about, "call", back, call)
}

// TestOnlySuccessIsSuccess: whatever else comes of a call is an error, which shows neither the
// hook's address nor a header.
func TestOnlySuccessIsSuccess(t *testing.T) {
	hangs := make(chan struct{})
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"refusal":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not set up\nmore", http.StatusConflict) }, "the fence hook answers 409 Conflict: not set up"},
		"unnamed":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) }, "the fence hook answers 599 "},
		"redirect":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/secret/other", http.StatusFound) }, "the fence hook answers 302 Found"},
		"controls":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[31mred", http.StatusConflict) }, `409 Conflict: \x1b[31mred`},
		"hang":      {func(http.ResponseWriter, *http.Request) { <-hangs }, "the fence hook has not answered within 50ms"},
		"hung up":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the fence hook can't be reached: "},
		"no length": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "the fence hook answers 403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.serve)
			defer s.Close()
			timeout := time.Minute
			if name == "hang" {
				timeout = 50 * time.Millisecond
				defer close(hangs)
			}
			h := New(s.URL+"/secret", map[string]string{"authorization": "hidden"}, nil, timeout)
			defer h.Close()
			err := h.Ask(t.Context(), call)
			about := fact.Must(t, "%s: %v", name, err)
			fact.True(about, "an error", err != nil)
			fact.Has(about, err.Error(), c.want)
			fact.HasNo(about, err.Error(), "secret")
			fact.HasNo(about, err.Error(), "hidden")
			fact.HasNo(about, err.Error(), "more")
		})
	}
}

// TestACallEndsWithItsMove: who asks may give up before the hook's own time is over.
func TestACallEndsWithItsMove(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // or the server would not notice
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	h := New(s.URL, nil, nil, time.Minute)
	defer h.Close()
	err := h.Ask(ctx, call)
	fact.True(fact.Of(t, "error %v", err), "that of who asks", errors.Is(err, context.Canceled))
}

// TestAServiceThatIsNotThereIsAnError, and so is a hook that can't be asked at all.
func TestAServiceThatIsNotThereIsAnError(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for want, h := range map[string]*Hook{
		"the fence hook can't be reached: ":      New(s.URL+"/secret", nil, nil, time.Minute),
		"the fence hook can't be asked: no file": Broken(errors.New("no file")),
	} {
		err := h.Ask(t.Context(), call)
		about := fact.Must(t, "error %v", err)
		fact.True(about, "an error", err != nil)
		fact.Has(about, err.Error(), want)
		fact.HasNo(about, err.Error(), "secret")
		h.Close()
	}
}
