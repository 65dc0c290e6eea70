//go:build wasip1

package sdk

import (
	"runtime"
	"runtime/debug"
	"unsafe"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// The state of a guest: one plugin, one input and one output buffer. An instance serves one call at a
// time.
var (
	plugin Plugin
	input  []byte
	output []byte
)

// Register names the plugin of this module. It is called from init.
func Register(p Plugin) {
	plugin = p
	// A collection that is half done between calls makes the next one slow: collect when idle.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(48 << 20)
}

//go:wasmexport sluice_abi
func exportABI() int32 { return abi.Version }

//go:wasmexport sluice_alloc
func exportAlloc(size int32) int32 {
	if int(size) > cap(input) {
		input = make([]byte, size)
	}
	return int32(uintptr(unsafe.Pointer(unsafe.SliceData(input))))
}

//go:wasmexport sluice_configure
func exportConfigure(n int32) int64 {
	c, ok := plugin.(Configurer)
	if !ok {
		return 0
	}
	if err := c.Configure(input[:n]); err != nil {
		output = append(output[:0], err.Error()...)
		return pack(output)
	}
	return 0
}

//go:wasmexport sluice_on_records
func exportRecords(n int32) int64 {
	res := Run(plugin, input[:n], output)
	if res == nil {
		return 0
	}
	output = res
	return pack(output)
}

//go:wasmexport sluice_idle
func exportIdle() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 8<<20 {
		runtime.GC()
	}
}

func pack(b []byte) int64 {
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | int64(len(b))
}
