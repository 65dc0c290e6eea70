package kafkatest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestPortsAreOfOneProcess: what one process is given, before it listens there, no other one gets,
// however often each asks.
func TestPortsAreOfOneProcess(t *testing.T) {
	const asks, n = 30, 26 // more than a block has
	mine := map[int]bool{}
	for range asks {
		at, err := FreePorts(n)
		if err != nil {
			t.Fatal(err)
		}
		mine[at/blockSize] = true
	}
	if os.Getenv("SLUICE_TEST_PORTS") != "" {
		at, _ := FreePorts(n)
		_, _ = os.Stdout.WriteString(strconv.Itoa(at/blockSize) + ";")
		return
	}
	if len(mine) != 1 {
		t.Errorf("ports of %d blocks", len(mine))
	}
	for range 3 {
		other := exec.Command(os.Args[0], "-test.run=^TestPortsAreOfOneProcess$")
		other.Env = append(os.Environ(), "SLUICE_TEST_PORTS=1")
		out, err := other.Output()
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(out), ";")
		block, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if mine[block] {
			t.Errorf("another process gets ports of block %d", block)
		}
	}
}
