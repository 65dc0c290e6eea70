// Package differential sends the same requests to Apache Kafka and through chains of interceptors
// to clusters with equal topics, and compares the answers. Differences on purpose are the table of
// COMPATIBILITY.md.
package differential

import (
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/hostile"
)

// lane is one way to clusters with equal topics: direct, or through a chain. Topics that requests
// change are its own.
type lane struct {
	name   string
	label  string // of the names of what requests change, as long as other lanes'
	prefix string // of names on its clusters, which clients don't see
	addr   string
	node   int32 // a broker's id as clients see it
	nodes  map[string]bool
	id     string // of the cluster, as clients see it
	topics map[string][16]byte
	texts  *strings.Replacer // of what is its own in messages and values
}

// mine fills the lane's label into a name.
func (l *lane) mine(name string) string { return strings.ReplaceAll(name, "@", l.label) }

// foreign reports a name of another lane.
func (l *lane) foreign(name string) bool {
	if strings.HasPrefix(name, sharedPrefix) {
		return true
	}
	for _, label := range labels {
		if label != l.label && strings.Contains(name, label) {
			return true
		}
	}
	return false
}

// sharedPrefix is the prefix of the lane that has one.
const sharedPrefix = "v."

// labels are the lanes' labels.
var labels = []string{"lane0", "lane1", "lane2", "lane3", "lane4"}

// patience is how long an answer may take.
const patience = 30 * time.Second

// answer is what comes of a request.
type answer struct {
	outcome hostile.Outcome
	resp    kmsg.Response
	tree    any
}

// ask sends a request of the lane and translates its answer.
func (l *lane) ask(req kmsg.Request, limit time.Duration) (answer, error) {
	outcome, resp, err := hostile.Ask(l.addr, kmsg.Key(req.Key()), req.GetVersion(), hostile.Frame(req), limit)
	if errors.Is(err, hostile.ErrHang) && limit < patience {
		return answer{outcome: unanswered}, nil
	}
	if err != nil || resp == nil {
		return answer{outcome: outcome}, err
	}
	if m, ok := resp.(*kmsg.MetadataResponse); ok {
		l.learn(m)
	}
	return answer{outcome, resp, l.translate(resp)}, nil
}

// learn notes the ids of topics.
func (l *lane) learn(m *kmsg.MetadataResponse) {
	for _, t := range m.Topics {
		if t.Topic != nil && t.ErrorCode == 0 && t.TopicID != [16]byte{} {
			l.topics[*t.Topic] = t.TopicID
		}
	}
}
