package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

func TestDescriptorsAreReserved(t *testing.T) {
	for files, most := range map[uint64]int64{256: 96, 1024: 384, 1_048_576: 524_160} {
		if d := NewDescriptors(files); d.most != most {
			t.Errorf("%d of %d for clients, want %d", d.most, files, most)
		}
	}
	for _, unknown := range []uint64{0, 1 << 63} {
		if d := NewDescriptors(unknown); !d.take() {
			t.Errorf("%d: bounded", unknown)
		}
	}
}

// TestClientsBeyondTheBoundAreRefused, and those that leave make room.
func TestClientsBeyondTheBoundAreRefused(t *testing.T) {
	s := running(t, limits(), noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		return ok(req)
	})
	s.descriptors = &Descriptors{most: 2}
	addr := listen(t, s).Addr().String()
	asks := func(c *client) {
		c.send(heartbeat("g"))
		c.receive(kmsg.Heartbeat, 4)
	}
	a, b := dial(t, addr), dial(t, addr)
	asks(a)
	asks(b)
	dial(t, addr).ends()
	_ = a.Close()
	until(t, "one has left", func() bool { return s.descriptors.taken.Load() == 1 })
	asks(dial(t, addr))
}

// TestWhoIsShortOfFilesIsToldWhatToDo: the words of the system alone say nothing of it.
func TestWhoIsShortOfFilesIsToldWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"the process": {&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}, "ulimit -n"},
		"the machine": {&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ENFILE)}, "fs.file-max"},
		"another":     {io.EOF, "EOF"},
	} {
		if got := advised(c.err); !strings.Contains(got.Error(), c.says) || !errors.Is(got, c.err) {
			t.Errorf("%s: %q does not say %q", name, got, c.says)
		}
	}
}
