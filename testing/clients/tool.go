package clients

import (
	"bufio"
	"context"
	_ "embed" // the Java program
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

//go:embed java/SluiceTool.java
var toolSource []byte

// Tool is one of Kafka's console tools that is run again and again in one process: starting one
// takes most of the time that a run takes.
type Tool struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err tail
}

// StartTool starts the process of a tool, such as kafka-consumer-groups.
func StartTool(ctx context.Context, version, name string) (*Tool, error) {
	dir, err := kafkatest.Classes(ctx, version, "SluiceTool", toolSource)
	if err != nil {
		return nil, err
	}
	t := &Tool{}
	if t.cmd, err = kafkatest.JVM(ctx, version, "128m", []string{dir}, "SluiceTool", kafkatest.ToolClass(version, name)); err != nil {
		return nil, err
	}
	t.cmd.Stderr = &t.err
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewScanner(out)
	t.out.Buffer(nil, 1<<20)
	return t, t.cmd.Start()
}

// Run runs the tool, and returns what it prints, its errors too.
func (t *Tool) Run(args ...string) (string, error) {
	if _, err := fmt.Fprintln(t.in, strings.Join(args, "\t")); err != nil {
		return "", err
	}
	if !t.out.Scan() {
		return "", fmt.Errorf("the tool has ended: %s", t.err.String())
	}
	b, err := base64.StdEncoding.DecodeString(t.out.Text())
	return string(b), err
}

// Close ends the process.
func (t *Tool) Close() error {
	_ = t.in.Close()
	return t.cmd.Wait()
}
