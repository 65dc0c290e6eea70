//go:build !wasip1

package sdk

// Register makes g the guest of this module. Outside of a guest it does nothing.
func Register(*Guest) {}

// newHost is what guests ask until SetHost says another.
func newHost() Host { return NewMemory() }
