package failover

import (
	"errors"
	"strings"
	"unicode"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// Block is what kind of thing a move waits for.
type Block string

// The kinds of what moves wait for, as metrics name them.
const (
	ByCluster      Block = "cluster"      // one can't be reached, or does not answer
	ByLag          Block = "lag"          // the copy has not caught up
	ByCopy         Block = "copy"         // there is none, or it is not exact
	BySettings     Block = "settings"     // the copy takes other records than the home
	ByRights       Block = "rights"       // the gateway may not write there, or nobody may
	ByTransactions Block = "transactions" // one is open
	ByClients      Block = "clients"      // produces on their way get no answer
	ByGroup        Block = "group"        // another move that commits with it
	ByPolicy       Block = "policy"       // the topic's `unplanned`
	ByOther        Block = "other"
)

// Blocks are all kinds.
var Blocks = []Block{ByCluster, ByLag, ByCopy, BySettings, ByRights, ByTransactions, ByClients, ByGroup, ByPolicy, ByOther}

// Judged are the kinds that a Readiness knows.
var Judged = []Block{ByCluster, ByLag, ByCopy, BySettings, ByRights, ByTransactions, ByPolicy, ByOther}

// blocked is an error with its kind.
type blocked struct {
	by Block
	error
}

func (b *blocked) Unwrap() error { return b.error }

// because gives an error a kind, if it has none.
func because(by Block, err error) error {
	var known *blocked
	if err == nil || unreachable(err) || errors.Is(err, errLag) || errors.As(err, &known) {
		return err
	}
	return &blocked{by, err}
}

// blockOf is the kind of an error.
func blockOf(err error) Block {
	var known *blocked
	switch {
	case errors.As(err, &known):
		return known.by
	case unreachable(err):
		return ByCluster
	case errors.Is(err, errLag):
		return ByLag
	}
	return ByOther
}

func unreachable(err error) bool {
	return errors.Is(err, plugin.ErrUnreachable) || errors.Is(err, plugin.ErrNotKafka) || errors.Is(err, plugin.ErrUnable)
}

// behind is an error of a copy that lags, with the number of records that it lacks.
type behind struct {
	records int64
	error
}

func (b *behind) Unwrap() error { return b.error }

// lagOf is how many records a copy lacks, if an error says so.
func lagOf(err error) int64 {
	var b *behind
	if errors.As(err, &b) {
		return b.records
	}
	return 0
}

// gist is a reason without its numbers: what a move waits for is new when this is.
func gist(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
