package blocks

import (
	"net"
	"testing"
)

// TestAddresses are those that net writes, and cost nothing.
func TestAddresses(t *testing.T) {
	for _, a := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 9092},         // in 16 bytes
		&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3).To4(), Port: 50_000}, // in 4
		&net.TCPAddr{IP: net.IPv6loopback, Port: 1},
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1},
		&net.UnixAddr{Name: "/socket", Net: "unix"},
	} {
		h := &Head{Remote: a}
		if got, want := h.Address(), a.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := new(Head).Address(); got != "" {
		t.Errorf("nobody's address is %q", got)
	}
	h, room := &Head{Remote: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 9092}}, make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() { h.appendAddress(room[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
