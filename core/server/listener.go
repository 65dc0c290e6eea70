package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Listener is an address that is listened on. Its connections go to whoever uses it at the time, so
// that an address passes from one user to another without being closed in between. Before the first
// Use it accepts nobody.
type Listener struct {
	net.Listener
	log  *slog.Logger
	to   atomic.Pointer[func(net.Conn)]
	once sync.Once
}

// Listen opens an address.
func Listen(addr string, log *slog.Logger) (*Listener, error) {
	n, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: n, log: log}, nil
}

// Use makes to the one who gets the connections from now on. It must not wait.
func (l *Listener) Use(to func(net.Conn)) {
	l.to.Store(&to)
	l.once.Do(func() { guard.Go(func() { guard.Keep(context.Background(), l.accept) }) })
}

func (l *Listener) accept() {
	wait := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("accept failed", "address", l.Addr().String(), "error", advised(err))
			time.Sleep(wait) // out of file descriptors: try again, but don't spin
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		(*l.to.Load())(conn)
	}
}

// advised says what to do where a connection can't be accepted because files are short.
func advised(err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w: the process has %d files open, as many as it may: raise its limit (ulimit -n, LimitNOFILE of systemd), or spread clients over more gateways", err, OpenFiles())
	case errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w: all processes of the machine together have as many files open as they may: raise fs.file-max", err)
	}
	return err
}
