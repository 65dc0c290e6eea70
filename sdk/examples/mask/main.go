// Command mask is package mask as a guest.
package main

import (
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/mask/mask"
)

func init() { sdk.Register(mask.New()) }

func main() {}
