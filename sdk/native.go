//go:build !wasip1

package sdk

// Register names the plugin of this module. Outside of a guest it does nothing: tests call the plugin
// themselves.
func Register(Plugin) {}
