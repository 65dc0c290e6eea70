//go:build !waits

package chain

// alwaysWaits makes every request go the way of those that wait; with the build tag waits, for
// tests.
const alwaysWaits = false
