package wasm

import (
	"fmt"
	"runtime"
	"testing"
)

// TestCompilingGivesItsMemoryBack to the system: it takes far more than what is needed when a guest
// runs. Here something else has left garbage, as much as compiling a large module does.
func TestCompilingGivesItsMemoryBack(t *testing.T) {
	const garbage = 128 << 20
	file := guest(t, header)
	leave(garbage)
	before := held()
	if _, err := build(t, fmt.Sprintf("{file: %q, config: {key: via, value: sluice}, limits: {memory: 63MiB}}", file)); err != nil {
		t.Fatal(err)
	}
	if got := before - held(); got < garbage/2 {
		t.Errorf("%d MB were given back, want %d at least", got>>20, garbage>>21)
	}
}

// leave leaves memory behind that was used.
func leave(n int) {
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
}

// held is how much memory the heap has of the system.
func held() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys - m.HeapReleased)
}
