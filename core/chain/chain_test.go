package chain

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// member stands in one row and says when it is called.
type member struct {
	key   kmsg.Key
	limit int16
	run   func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)
}

func (m *member) Keys() plugin.KeySet { return kafka.NewKeySet(m.key) }
func (m *member) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return m.run(ctx, req, next)
}
func (m *member) MaxVersion(key, offered int16) int16 {
	if kmsg.Key(key) == m.key {
		return m.limit
	}
	return offered
}

func TestAChainIsATableOfRows(t *testing.T) {
	var path []string
	step := func(name string, key kmsg.Key, stage plugin.Stage) Named {
		return Named{Name: name, Stage: stage, Interceptor: &member{key: key, limit: 3, run: func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			path = append(path, name)
			return next.Handle(ctx, req)
		}}}
	}
	end := plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		path = append(path, "end")
		return nil, nil
	})
	c, err := New([]Named{
		step("a", kmsg.Produce, plugin.Logical), step("any", kmsg.Fetch, plugin.Any), step("b", kmsg.Produce, plugin.Routing), step("c", kmsg.Metadata, plugin.Physical),
	}, end, "")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[kmsg.Key]string{kmsg.Produce: "a b end", kmsg.Fetch: "any end", kmsg.Metadata: "c end", kmsg.Heartbeat: "end"} {
		path = nil
		if _, err := c.Row(key).Handle(t.Context(), &plugin.Request{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(path, " "); got != want {
			t.Errorf("%s ran %s, want %s", kmsg.NameForKey(int16(key)), got, want)
		}
	}
	if !c.Passes(kmsg.Heartbeat) || c.Passes(kmsg.Produce) {
		t.Error("pass-through")
	}
	if c.MaxVersion(int16(kmsg.Produce), 13) != 3 || c.MaxVersion(int16(kmsg.Heartbeat), 4) != 4 {
		t.Error("version limits")
	}
}

func TestStagesNeverDecrease(t *testing.T) {
	m := func(s plugin.Stage) Named { return Named{Name: s.String(), Stage: s, Interceptor: &member{}} }
	if _, err := New([]Named{m(plugin.Physical), m(plugin.Routing)}, nil, ""); err == nil {
		t.Error("routing below a physical interceptor")
	}
	if _, err := New([]Named{m(plugin.Routing), m(plugin.Routing)}, nil, ""); err == nil {
		t.Error("two routing interceptors")
	}
	if _, err := New([]Named{m(plugin.Logical), m(plugin.Any), m(plugin.Routing), m(plugin.Any), m(plugin.Physical), m(plugin.Any)}, nil, ""); err != nil {
		t.Error(err)
	}
}

func TestAPanicIsAnErrorOfItsRequest(t *testing.T) {
	_, err := plugin.Protect(t.Context(), &plugin.Request{}, plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) { panic("boom") }))
	var p *plugin.PanicError
	if !errors.As(err, &p) || p.Value != "boom" || !strings.Contains(err.Error(), "chain_test.go") {
		t.Errorf("%v", err)
	}
}

// TestForksShareOneTurn: the next request of the session starts when every fork is queued.
func TestForksShareOneTurn(t *testing.T) {
	passed := 0
	r := &plugin.Request{}
	r.SetTurn(func() { passed++ })
	forks := r.Fork(3, "test")
	turn.Give(forks[0].Turn())
	turn.Give(forks[0].Turn())
	sub := forks[1].Fork(2, "test")
	turn.Give(sub[0].Turn())
	turn.Give(forks[2].Turn())
	if passed != 0 {
		t.Fatal("the turn was given on too early")
	}
	turn.Give(sub[1].Turn())
	if passed != 1 {
		t.Errorf("the turn was given on %d times", passed)
	}
}

// TestAStepGivesTheTurnOn however the interceptor returns, and whatever copies of the request it
// has made.
func TestAStepGivesTheTurnOn(t *testing.T) {
	body := kafka.NewRequestBody(kmsg.Heartbeat, 4, nil) // does not parse
	for name, run := range map[string]func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error){
		"an answer of its own": func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
			return plugin.Respond(kmsg.NewPtrHeartbeatResponse()), nil
		},
		"an error": func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
			return nil, errors.New("broken")
		},
		"a panic": func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { panic("boom") },
		"a copy that is left": func(_ context.Context, r *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			r.With(body)
			return nil, nil
		},
		"a changed one": func(_ context.Context, r *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			r.Change()
			return nil, nil
		},
		"a body that does not parse": func(_ context.Context, r *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			_, _, err := plugin.Edit[kmsg.Request](r)
			return nil, err
		},
		"forks that are left": func(_ context.Context, r *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			r.Fork(2, "test")
			return nil, nil
		},
		"one fork of two": func(ctx context.Context, r *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			return next.Handle(ctx, r.Fork(2, "test")[0])
		},
		"a copy of a copy, sent": func(ctx context.Context, r *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			return next.Handle(ctx, r.With(body).With(body))
		},
		"sent twice": func(ctx context.Context, r *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			_, _ = next.Handle(ctx, r)
			return next.Handle(ctx, r.With(body))
		},
	} {
		end := plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
			return plugin.Respond(kmsg.NewPtrHeartbeatResponse()), nil
		})
		c, err := New([]Named{{Name: "x", Stage: plugin.Logical, Interceptor: &member{key: kmsg.Heartbeat, run: run}}}, end, "")
		if err != nil {
			t.Fatal(err)
		}
		passed := 0
		r := &plugin.Request{Body: body, Session: testSession(t, nil)}
		r.SetTurn(func() { passed++ })
		_, _ = c.Row(kmsg.Heartbeat).Handle(t.Context(), r)
		if passed != 1 {
			t.Errorf("%s: the turn was given on %d times", name, passed)
		}
	}
}
