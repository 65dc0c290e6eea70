// Package block says what keeps a topic from moving: errors with a kind, which metrics, the API and
// moves tell.
package block

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// Kind is the kind of what a move waits for.
type Kind string

// The kinds of what moves wait for, as metrics name them.
const (
	ByCluster      Kind = "cluster"      // one can't be reached, or does not answer
	ByLag          Kind = "lag"          // the copy has not caught up
	ByCopy         Kind = "copy"         // there is none, or it is not exact
	BySettings     Kind = "settings"     // the copy takes other records than the home
	ByRights       Kind = "rights"       // the gateway may not write there, or nobody may
	ByTransactions Kind = "transactions" // one is open
	ByClients      Kind = "clients"      // produces on their way get no answer
	ByFence        Kind = "fence"        // writers past the gateway could not be kept away
	ByGroup        Kind = "group"        // another move that commits with it
	ByPolicy       Kind = "policy"       // the topic's `unplanned`
	ByOther        Kind = "other"
)

// Kinds are all kinds.
var Kinds = []Kind{ByCluster, ByLag, ByCopy, BySettings, ByRights, ByTransactions, ByClients, ByFence, ByGroup, ByPolicy, ByOther}

// Judged are the kinds that a Readiness knows.
var Judged = []Kind{ByCluster, ByLag, ByCopy, BySettings, ByRights, ByTransactions, ByPolicy, ByOther}

// ErrLag says that the copy has not caught up yet. Its kind is ByLag.
var ErrLag = errors.New("the copy lags")

// blocked is an error with its kind.
type blocked struct {
	by Kind
	error
}

func (b *blocked) Unwrap() error { return b.error }

// Because gives an error a kind, if it has none.
func Because(by Kind, err error) error {
	var known *blocked
	if err == nil || unreachable(err) || errors.Is(err, ErrLag) || errors.As(err, &known) {
		return err
	}
	return &blocked{by, err}
}

// As gives an error a kind, whichever it had.
func As(by Kind, err error) error { return &blocked{by, err} }

// Of is the kind of an error.
func Of(err error) Kind {
	var known *blocked
	switch {
	case errors.As(err, &known):
		return known.by
	case unreachable(err):
		return ByCluster
	case errors.Is(err, ErrLag):
		return ByLag
	}
	return ByOther
}

// SignsOfLife is an error while a home can't be asked and gives signs of life all the same, or may
// live for all that this machine can tell: it is not known to be gone.
func SignsOfLife(home plugin.Cluster) error {
	trouble := home.Trouble()
	if plugin.Lives(trouble) == nil {
		return nil
	}
	return fmt.Errorf("%s is not known to be gone (if it is, such as behind a load balancer, use `failover run --unplanned`): %w", home.Name(), trouble)
}

// Never is the error of a move from a home that can't be reached, where the policy is to wait for
// it.
func Never(home plugin.Cluster) error {
	return Because(ByPolicy, fmt.Errorf("%s is unreachable and the topic says `unplanned: never`", home.Name()))
}

func unreachable(err error) bool {
	return errors.Is(err, plugin.ErrUnreachable) || plugin.Lives(err) != nil
}

// behind is an error of a copy that lags, with the number of records that it lacks.
type behind struct {
	records int64
	error
}

func (b *behind) Unwrap() error { return b.error }

// Lagging is the error of a copy that lacks records.
func Lagging(records int64, err error) error { return &behind{records, err} }

// LagOf is how many records a copy lacks, if an error says so.
func LagOf(err error) int64 {
	var b *behind
	if errors.As(err, &b) {
		return b.records
	}
	return 0
}
