package failover

import (
	"cmp"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
)

// Phase is a step of a move.
type Phase string

// The phases of a move, in order; a move ends Done, or goes back to Pending when it is refused.
const (
	Pending Phase = "pending"
	Check   Phase = "pre-check"
	Hold    Phase = "hold"
	Fence   Phase = "fence" // for topics, if there is a hook for it
	Prepare Phase = "prepare"
	Commit  Phase = "commit"
	Drain   Phase = "drain"
	Publish Phase = "publish"
	Done    Phase = "done"
	Dropped Phase = "dropped" // a newer edit took its place
)

// Step is when a phase began.
type Step struct {
	Phase Phase     `json:"phase"`
	At    time.Time `json:"at"`
}

// mostSteps bounds what a report says of a move that is refused again and again: its first phase,
// and the last ones.
const mostSteps = 50

// Range is a range of virtual offsets, both ends included.
type Range struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

// Records is how many records the range may hold.
func (r Range) Records() int64 { return r.To - r.From + 1 }

// Report is what is known of a move, for the admin API and the store.
type Report struct {
	ID             string `json:"id"`
	VirtualCluster string `json:"virtual_cluster"`
	Kind           Kind   `json:"kind"`
	Topic          string `json:"topic"` // the name of what moves
	From           string `json:"from"`
	To             string `json:"to"`
	By             string `json:"by,omitempty"` // who asked for it
	Planned        bool   `json:"planned"`
	Phase          Phase  `json:"phase"`
	Steps          []Step `json:"phases"`
	Error          string `json:"error,omitempty"`
	// BlockedBy is the kind of what Error says, while the move has not ended.
	BlockedBy block.Kind `json:"blocked_by,omitempty"`
	// Lag is how many records the copy lacked when the move was last refused for that.
	Lag      int64 `json:"lag,omitempty"`
	Attempts int   `json:"attempts"`
	PauseMS  int64 `json:"pause_ms"`
	// Compared is how many offsets of the old home were compared with the copy in the last attempt,
	// over all partitions.
	Compared int64 `json:"records_compared"`
	// Positions is how many positions a group has brought to its new home, and Behind for how many
	// milliseconds the first of those had been acknowledged that only the gateway had, when the old
	// home was gone.
	Positions    int       `json:"positions,omitempty"`
	Behind       int64     `json:"positions_behind_ms,omitempty"`
	Since        time.Time `json:"since"`
	Ended        time.Time `json:"ended,omitzero"`
	PossibleLoss []Range   `json:"possible_loss"`
	// Acknowledged is set once somebody has dealt with the possible loss.
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`
	Notes        []string      `json:"notes,omitempty"`
}

// What is what moves. In reports of earlier versions, when topics alone could move, it has no kind.
func (r Report) What() Movable { return Movable{cmp.Or(r.Kind, Topic), r.Topic} }

// Lost is how many records the move may have lost, at most.
func (r Report) Lost() (n int64) {
	for _, l := range r.PossibleLoss {
		n += l.Records()
	}
	return n
}

// Stands reports a possible loss that nobody has acknowledged.
func (r Report) Stands() bool {
	return r.Phase == Done && r.Acknowledged == nil && len(r.PossibleLoss) > 0
}

// Committed reports the phase of a move that can't be aborted any more.
func (p Phase) Committed() bool {
	switch p {
	case Commit, Drain, Publish, Done:
		return true
	}
	return false
}
