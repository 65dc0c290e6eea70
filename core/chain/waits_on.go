//go:build waits

package chain

const alwaysWaits = true
