//go:build !wasip1

package sdk

// Register names the plugin of this module. Outside of a guest it does nothing: tests, and gateways that
// compile a plugin in, use New.
func Register(string, any, ...Option) {}

// host is what plugins that run natively use.
var host Host = NewMemory()

// SetHost makes h the host of all plugins that run natively.
func SetHost(h Host) { host = h }
