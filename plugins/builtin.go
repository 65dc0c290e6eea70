// Package plugins lists the interceptors that come with Sluice. Nothing registers itself.
package plugins

import (
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/offsets"
	"github.com/sluice-gateway/sluice/plugins/routing"
	"github.com/sluice-gateway/sluice/plugins/topics"
	"github.com/sluice-gateway/sluice/plugins/traces"
	"github.com/sluice-gateway/sluice/plugins/wasm"
)

// Builtin returns the specs of the built-in interceptors.
func Builtin() []plugin.Spec {
	return []plugin.Spec{routing.Spec(), topics.Spec(), offsets.Spec(), wasm.Spec(), traces.Spec()}
}
