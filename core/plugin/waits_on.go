//go:build waits

package plugin

const alwaysWaits = true
