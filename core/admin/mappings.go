package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// flexibleBool is true, false, "true" or "false".
type flexibleBool bool

func (b *flexibleBool) UnmarshalJSON(p []byte) error {
	var s string
	if json.Unmarshal(p, &s) != nil {
		s = string(p)
	}
	v, err := strconv.ParseBool(s)
	*b = flexibleBool(v)
	return err
}

// mapping is the body of a topic mapping.
type mapping struct {
	ClusterID      string       `json:"clusterId"`
	TopicName      string       `json:"topicName"`
	IsVirtual      flexibleBool `json:"isVirtual"`
	IsConcentrated flexibleBool `json:"isConcentrated"`
	IsCompacted    flexibleBool `json:"isCompacted"`
}

func (a *older) listMappings(w http.ResponseWriter, r *http.Request) {
	list, err := a.g.Mappings(r.PathValue("tenant"))
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 200, list)
}

// setMapping puts a topic on a cluster. It answers when the change is live, or 202 with the move's
// reason to wait.
func (a *older) setMapping(w http.ResponseWriter, r *http.Request) {
	vc, topic := r.PathValue("tenant"), r.PathValue("topic")
	if _, err := a.g.Mappings(vc); err != nil {
		failWith(w, err)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var m mapping
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		fail(w, 400, fmt.Sprintf(`body is not a mapping: %s; send {"clusterId": "dr", "topicName": %q}`, NotRead(err), topic))
		return
	}
	if m.IsConcentrated || m.IsCompacted {
		fail(w, 501, "concentrated topics are not supported: map each topic to a topic of its own")
		return
	}
	if m.ClusterID == "" {
		m.ClusterID = "main"
	}
	done, err := a.g.SetMapping(r.Context(), vc, topic, m.ClusterID, m.TopicName)
	if err != nil {
		failWith(w, err)
		return
	}
	status, message := 200, "live"
	if done.Pending {
		status, message = 202, "pending: see GET /moves"
		w.Header().Set("Location", "/moves")
	}
	writeJSON(w, status, map[string]any{"message": message, "moves": done.Moves})
}

// deleteMapping announces that a topic is to belong to no cluster. Until the grace is over its home
// goes on serving, and a POST or PUT of another home is an ordinary move.
func (a *older) deleteMapping(w http.ResponseWriter, r *http.Request) {
	topic := r.PathValue("topic")
	d, err := a.g.DeleteMapping(r.Context(), r.PathValue("tenant"), topic)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 202, map[string]any{
		"message": fmt.Sprintf("%s goes on being served for %s; then its clients get UNKNOWN_TOPIC_OR_PARTITION. Map it to another cluster before that to move it without an outage.", topic, d.Grace),
		"at":      d.At,
	})
}

// createTopic creates a topic as CreateTopics would; one that exists is fine.
func (a *older) createTopic(w http.ResponseWriter, r *http.Request) {
	vc := r.PathValue("tenant")
	if _, err := a.g.Mappings(vc); err != nil {
		failWith(w, err)
		return
	}
	var body struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body); err != nil || body.Name == "" {
		fail(w, 400, `send {"name": "my-topic"}`)
		return
	}
	made, err := a.g.CreateTopic(r.Context(), vc, body.Name)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 200, made)
}
