//go:build !wasip1

package sdk

import "embed"

// Source is the source of the SDKs, which `gateway plugin new` puts beside a project: it is
// published nowhere.
//
//go:embed *.go *.md cases.schema.json abi/abi.go sdktest/*.go c rust
var Source embed.FS
