package wasm

import (
	"fmt"
	"runtime"
	"testing"
)

// TestCompilingGivesItsMemoryBack to the system: most of what it takes is not needed any more when a guest runs.
func TestCompilingGivesItsMemoryBack(t *testing.T) {
	if _, err := build(t, fmt.Sprintf("{file: %q, config: {key: via, value: sluice}, limits: {memory: 63MiB}}", guest(t, header))); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const most = 2 << 20 // what has become free since, and what lies between what is used
	if idle := m.HeapIdle - m.HeapReleased; idle > most {
		t.Errorf("%d KB of free memory are kept, want %d at most", idle>>10, most>>10)
	}
}
