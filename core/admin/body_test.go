package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plan"
)

// planner has a plan for everything.
type planner struct{ Gateway }

func (planner) Plan(context.Context, Move) (plan.Plans, error) { return plan.Plans{}, nil }

// TestWhatIsWrongWithABody is said without Go's words.
func TestWhatIsWrongWithABody(t *testing.T) {
	api := API(planner{}, &Access{Users: func() []config.User { return nil }})
	for body, want := range map[string]string{
		"":                                "it is empty",
		`{"to": "dr"`:                     "it ends too early",
		`{"to": "dr", "topics": "a"}`:     `the type of "topics" is wrong, string`,
		`[]`:                              "its type is wrong, array",
		`{"too": "dr"}`:                   `unknown field "too"`,
		`{to: "dr"}`:                      "invalid character 't'",
		strings.Repeat(" ", 1<<20) + `{}`: "it is longer than 1048576 bytes",
	} {
		r := httptest.NewRequest(http.MethodPost, Prefix+"moves/plan", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var p struct{ Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 {
			t.Errorf("%d %v: %s", w.Code, err, w.Body)
		}
		if !strings.HasPrefix(p.Detail, "body: "+want) || !strings.HasSuffix(p.Detail, `; send {"from": "prod", "to": "dr"} or {"topics": [...], "to": "dr"}`) || strings.Contains(p.Detail, "Go ") {
			t.Errorf("%.40q: %s", body, p.Detail)
		}
	}
}
