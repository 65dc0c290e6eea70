package gatewaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Process is a gateway in a process of its own, on a file of its own, so that it can be killed.
type Process struct {
	Dir, File, Bootstrap, Admin string

	args []string // the program first
	env  []string
	out  io.Writer // nil: a file of its own
	cmd  *exec.Cmd
}

// Command is the package of the gateway's command.
const Command = "github.com/sluice-gateway/sluice/cmd/gateway"

// StartProcess builds a gateway's binary, from a package or a file, and starts it; see Start.
func StartProcess(ctx context.Context, main, dir string, homes map[string]string, clusters ...kafkatest.Cluster) (*Process, error) {
	file, port, err := fresh(dir, homes, "", clusters)
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, main)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	p := &Process{Dir: dir, File: file, Bootstrap: bootstrap(port), Admin: admin(port), args: []string{bin, "run", "-c", file}}
	return p, p.Run(ctx)
}

// Run starts the program and waits until it is alive.
func (p *Process) Run(ctx context.Context) error {
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	out := p.out
	if out == nil {
		log, err := os.OpenFile(filepath.Join(p.Dir, "gateway.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer func() { _ = log.Close() }()
		out = log
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = kafkatest.EndsWithParent()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for {
		if resp, err := http.Get(p.Admin + "/livez"); err == nil {
			_ = resp.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the gateway with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Terminate asks it to end.
func (p *Process) Terminate() error { return p.cmd.Process.Signal(os.Interrupt) }

// Wait waits for the end.
func (p *Process) Wait() error { return p.cmd.Wait() }

// Edit replaces a text in the file.
func (p *Process) Edit(from, to string) error { return (&Gateway{File: p.File}).Edit(from, to) }

// EditAll writes the file as change makes it, in one write.
func (p *Process) EditAll(change func(text string) string) error {
	return (&Gateway{File: p.File}).EditAll(change)
}

// Moves asks the admin API.
func (p *Process) Moves() []failover.Report {
	req, err := http.NewRequest(http.MethodGet, p.Admin+"/moves", nil)
	if err != nil {
		return nil
	}
	req.SetBasicAuth("none", "none")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var out []failover.Report
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return out
}

// Log is what the gateway has logged.
func (p *Process) Log() string {
	b, _ := os.ReadFile(filepath.Join(p.Dir, "gateway.log"))
	return strings.TrimSpace(string(b))
}
