package gatewaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Process is the gateway's binary, running on a file of its own, so that it can be killed.
type Process struct {
	Dir, File, Bootstrap, Admin string

	bin string
	cmd *exec.Cmd
}

// Command is the package of the gateway's command.
const Command = "github.com/sluice-gateway/sluice/cmd/gateway"

// StartProcess builds a gateway's binary, from a package or a file, and starts it; see Start.
func StartProcess(ctx context.Context, main, dir string, homes map[string]string, clusters ...kafkatest.Cluster) (*Process, error) {
	port, err := kafkatest.FreePorts(2 + 10*len(clusters))
	if err != nil {
		return nil, err
	}
	addrs := map[string][]string{}
	var order []string
	for _, c := range clusters {
		addrs[c.Name()] = c.Bootstrap()
		order = append(order, c.Name())
	}
	file, err := Config(dir, port, homes, "", addrs, order...)
	if err != nil {
		return nil, err
	}
	p := &Process{Dir: dir, File: file, Bootstrap: fmt.Sprintf("127.0.0.1:%d", port), Admin: fmt.Sprintf("http://127.0.0.1:%d", port+1), bin: filepath.Join(dir, "gateway")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.bin, main)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return p, p.Run(ctx)
}

// Run starts the binary and waits until it is alive.
func (p *Process) Run(ctx context.Context) error {
	p.cmd = exec.Command(p.bin, "run", "-c", p.File)
	log, err := os.OpenFile(filepath.Join(p.Dir, "gateway.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.cmd.Stdout, p.cmd.Stderr = log, log
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
