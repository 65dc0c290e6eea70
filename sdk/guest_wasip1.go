//go:build wasip1

package sdk

import (
	"runtime"
	"runtime/debug"
	"unsafe"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// The state of a module: one guest, one input and one output buffer. An instance serves one call at
// a time.
var (
	guest     *Guest
	input     []byte
	output    []byte
	idles     int
	collected uint64 // bytes allocated until the last collection
)

// Register makes g the guest of this module. It is called from init.
func Register(g *Guest) {
	guest = g
	// A collection that is half done between calls makes the next one slow: collect when idle, or
	// when memory gets short.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(collectAt)
}

const (
	collectAfter = 4 << 20
	collectAt    = 12 << 20
	lookEvery    = 64 // calls: looking at the memory costs more than most of them
)

//go:wasmexport sluice_abi
func exportABI() int32 { return abi.Version }

//go:wasmexport sluice_alloc
func exportAlloc(size int32) int32 {
	if int(size) > cap(input) {
		input = make([]byte, size)
	}
	return int32(uintptr(unsafe.Pointer(unsafe.SliceData(input))))
}

//go:wasmexport sluice_manifest
func exportManifest() int64 {
	output = append(output[:0], guest.Manifest()...)
	return pack(output)
}

//go:wasmexport sluice_configure
func exportConfigure(n int32) int64 {
	if err := guest.Configure(input[:n]); err != nil {
		output = append(output[:0], err.Error()...)
		return pack(output)
	}
	return 0
}

//go:wasmexport sluice_on_records
func exportRecords(n int32) int64 { return pack(guest.Call(input[:n])) }

//go:wasmexport sluice_on_request
func exportRequest(n int32) int64 { return pack(guest.Call(input[:n])) }

//go:wasmexport sluice_on_response
func exportResponse(n int32) int64 { return pack(guest.Call(input[:n])) }

//go:wasmexport sluice_on_session
func exportSession(n int32) int64 { return pack(guest.Call(input[:n])) }

//go:wasmexport sluice_on_tick
func exportTick(nowMS int64) { guest.Tick(nowMS) }

//go:wasmexport sluice_self_test
func exportSelfTest() int64 {
	if err := guest.SelfTest(); err != nil {
		output = append(output[:0], err.Error()...)
		return pack(output)
	}
	return 0
}

//go:wasmexport sluice_idle
func exportIdle() {
	if idles++; idles < lookEvery {
		return
	}
	idles = 0
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.TotalAlloc-collected > collectAfter {
		collected = m.TotalAlloc
		runtime.GC()
	}
}

//go:wasmexport sluice_close
func exportClose() { guest.Close() }

func pack(b []byte) int64 {
	if b == nil {
		return 0
	}
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | int64(len(b))
}
