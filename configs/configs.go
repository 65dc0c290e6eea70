// Package configs holds the files of configuration that the gateway itself knows.
package configs

import _ "embed"

// Reference is the file that shows every field, with what it is for.
//
//go:embed reference.yaml
var Reference []byte
