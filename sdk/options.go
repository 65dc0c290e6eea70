package sdk

import (
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Capabilities of the gateway, for Needs.
const (
	CapKV          = abi.CapKV
	CapHTTP        = abi.CapHTTP
	CapSendRequest = abi.CapSendRequest
)

// StateMax is the most that SetState keeps, in bytes.
const StateMax = abi.StateMax

// Option says more of a plugin.
type Option func(*Guest)

// Version is the plugin's version.
func Version(v string) Option { return func(g *Guest) { g.manifest.Version = v } }

// Needs asks for capabilities of the gateway. The operator must grant them.
func Needs(capabilities ...string) Option {
	return func(g *Guest) { g.manifest.Host = append(g.manifest.Host, capabilities...) }
}

// Every is the period of OnTick.
func Every(d time.Duration) Option {
	return func(g *Guest) { g.manifest.TickMS = d.Milliseconds() }
}

// FailClosedOnly forbids `on_error: pass`: what this plugin can't see must not get by.
func FailClosedOnly() Option { return func(g *Guest) { g.manifest.FailClosedOnly = true } }
