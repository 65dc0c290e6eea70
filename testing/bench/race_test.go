//go:build race

package bench

// raced says that the race detector is on: it drops pooled objects at random.
const raced = true
