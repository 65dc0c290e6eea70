package telemetry

import (
	"math"
	"math/rand/v2"
)

// Share is a share of the requests, in 2^-63, which are picked at random.
type Share uint64

// ShareOf is a share between 0, none, and 1, all.
func ShareOf(ratio float64) Share { return Share(math.Ldexp(min(max(ratio, 0), 1), 63)) }

// Picks decides about a request.
func (s Share) Picks() bool { return rand.Uint64()>>1 < uint64(s) }
