package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/sluice-gateway/sluice/core/admin"
)

// asked decodes what POST /failover/plan and run are asked for.
func (a *httpAPI) asked(w http.ResponseWriter, r *http.Request) (m admin.Move, ok bool) {
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&m); err != nil {
		fail(w, 400, fmt.Sprintf(`body: %s; send {"from": "prod", "to": "dr"} or {"topics": [...], "to": "dr"}`, admin.NotRead(err)))
		return m, false
	}
	return m, true
}

func (a *httpAPI) plan(w http.ResponseWriter, r *http.Request) {
	m, ok := a.asked(w, r)
	if !ok {
		return
	}
	plans, err := operator{a.g}.Plan(r.Context(), m)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 200, plans)
}

// run edits the file and answers with the topics that are to move; GET /moves follows them.
func (a *httpAPI) run(w http.ResponseWriter, r *http.Request) {
	m, ok := a.asked(w, r)
	if !ok {
		return
	}
	s, err := operator{a.g}.Start(r.Context(), "", m)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 202, map[string]any{"virtual_cluster": s.VirtualCluster, "topics": s.Topics, "to": s.To})
}
