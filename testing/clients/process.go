package clients

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
)

// event is a line that a client program prints.
type event struct {
	Event     string `json:"ev"`  // ack, rec, error
	Who       string `json:"who"` // of several clients; else that of the program
	Topic     string `json:"topic"`
	ID        string `json:"id"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Message   string `json:"msg"`
}

// run runs a program that prints events until its standard input is closed, which begins with
// lines.
func run(ctx context.Context, cmd *exec.Cmd, name string, r *Recorder, lines ...string) error {
	p, err := start(cmd, name, func(string) *Recorder { return r })
	if err != nil {
		return err
	}
	for _, l := range lines {
		_, _ = fmt.Fprintln(p.in, l) // one that has ended says why
	}
	select {
	case <-ctx.Done():
	case <-p.ended:
	}
	p.close()
	return nil
}

// program prints events.
type program struct {
	cmd    *exec.Cmd
	name   string
	of     func(topic string) *Recorder
	in     io.WriteCloser
	stderr tail
	closed atomic.Bool
	ended  chan struct{}
}

// start starts a program, of whose events of a topic a recorder is told; of those that name none,
// that of "".
func start(cmd *exec.Cmd, name string, of func(topic string) *Recorder) (*program, error) {
	p := &program{cmd: cmd, name: name, of: of, ended: make(chan struct{})}
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = &p.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

func (p *program) read(out io.Reader) {
	defer close(p.ended)
	s := bufio.NewScanner(out)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			continue
		}
		r, who := p.of(e.Topic), cmp.Or(e.Who, p.name)
		switch e.Event {
		case "ack":
			r.Acked(who, e.ID, Place{e.Partition, e.Offset})
		case "rec":
			r.Received(who, e.ID, Place{e.Partition, e.Offset})
		case "error":
			r.Error(who, "%s", e.Message)
		}
	}
	err := p.cmd.Wait()
	if !p.closed.Load() {
		p.of("").Error(p.name, "ended by itself: %v %s", err, p.stderr.String())
	} else if err != nil {
		p.of("").Error(p.name, "%v %s", err, p.stderr.String())
	}
}

// close lets the program end, and waits for it.
func (p *program) close() {
	p.closed.Store(true)
	_ = p.in.Close()
	<-p.ended
}

// tail keeps the end of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 8<<10 {
		t.b = t.b[len(t.b)-4<<10:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// errorLines counts what a console tool shows its user as an error.
func errorLines(name string, r *Recorder, from io.Reader) {
	s := bufio.NewScanner(from)
	for s.Scan() {
		l := s.Text()
		if strings.Contains(l, " ERROR ") || strings.Contains(l, "Exception") {
			r.Error(name, "%s", l)
		}
	}
}

// ConsoleProducer feeds the real console producer; what it sent counts as acknowledged when it has
// ended without an error.
func ConsoleProducer(tool func(ctx context.Context, args ...string) (*exec.Cmd, error)) Client {
	return func(ctx context.Context, t Target, name string, r *Recorder) error {
		cmd, err := tool(context.WithoutCancel(ctx), "--bootstrap-server", t.Bootstrap, "--topic", t.Topic)
		if err != nil {
			return err
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		errs, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		done := make(chan struct{})
		go func() { errorLines(name, r, errs); close(done) }()
		var sent []string
		Paced(ctx, t.Rate, name, func(_ int, id string) {
			if _, err := fmt.Fprintln(in, id); err != nil {
				r.Error(name, "%v", err)
				return
			}
			sent = append(sent, id)
		})
		_ = in.Close()
		<-done
		if err := cmd.Wait(); err != nil {
			r.Error(name, "%v", err)
			return nil
		}
		for _, id := range sent {
			r.Acked(name, id, Place{Offset: -1})
		}
		return nil
	}
}

// ConsoleConsumer is the real console consumer.
func ConsoleConsumer(tool func(ctx context.Context, args ...string) (*exec.Cmd, error)) Client {
	return func(ctx context.Context, t Target, name string, r *Recorder) error {
		cmd, err := tool(context.WithoutCancel(ctx), "--bootstrap-server", t.Bootstrap, "--topic", t.Topic, "--from-beginning", "--group", name,
			"--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true")
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		errs, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		go errorLines(name, r, errs)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s := bufio.NewScanner(out)
			for s.Scan() {
				var e event
				if _, err := fmt.Sscanf(s.Text(), "Partition:%d\tOffset:%d\t%s", &e.Partition, &e.Offset, &e.ID); err == nil {
					r.Received(name, e.ID, Place{e.Partition, e.Offset})
				}
			}
		}()
		select {
		case <-ctx.Done():
		case <-ended:
			r.Error(name, "ended by itself")
		}
		_ = cmd.Process.Kill()
		<-ended
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return err
		}
		return nil
	}
}
