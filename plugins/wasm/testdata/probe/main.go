// Command probe is package probe as a guest.
package main

import (
	"github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/sdk"
)

func init() { sdk.Register(probe.New()) }

func main() {}
