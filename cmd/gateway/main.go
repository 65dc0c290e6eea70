// Command gateway is Sluice: a Kafka gateway that moves topics between clusters while clients stay
// connected.
package main

import (
	"github.com/sluice-gateway/sluice/cmd/gateway/cli"
	"github.com/sluice-gateway/sluice/plugins"
)

func main() { cli.Main(plugins.Builtin()...) }
