package clients

import (
	"context"
	_ "embed" // the Python program
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

//go:embed python/sluice_client.py
var pythonSource []byte

const kafkaPython = "kafka-python==2.2.15"

// pythonSnappy is what kafka-python needs for batches of clients that compress by default.
const pythonSnappy = "python-snappy==0.7.3"

// python returns the command of the program in a virtual environment with kafka-python.
func python(ctx context.Context, args ...string) (*exec.Cmd, error) {
	cache, err := kafkatest.Cache()
	if err != nil {
		return nil, err
	}
	venv := filepath.Join(cache, "venv-"+kafkaPython+"-"+pythonSnappy)
	if _, err := os.Stat(filepath.Join(venv, "complete")); err != nil {
		for _, c := range [][]string{{"python3", "-m", "venv", venv}, {filepath.Join(venv, "bin", "pip"), "install", "--quiet", kafkaPython, pythonSnappy}} {
			if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%v: %w\n%s", c, err, out)
			}
		}
		if err := os.WriteFile(filepath.Join(venv, "complete"), nil, 0o644); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), append([]string{"-c", string(pythonSource)}, args...)...)
	cmd.SysProcAttr = kafkatest.EndsWithParent()
	return cmd, nil
}

// PythonProducer is kafka-python with default settings.
func PythonProducer(ctx context.Context, t Target, name string, r *Recorder) error {
	cmd, err := python(context.WithoutCancel(ctx), "producer", t.Bootstrap, t.Topic, name, fmt.Sprint(t.Rate.Seconds()))
	if err != nil {
		return err
	}
	return run(ctx, cmd, name, r)
}

// PythonConsumer is a kafka-python consumer in a group of its own.
func PythonConsumer(ctx context.Context, t Target, name string, r *Recorder) error {
	cmd, err := python(context.WithoutCancel(ctx), "consumer", t.Bootstrap, t.Topic, name)
	if err != nil {
		return err
	}
	return run(ctx, cmd, name, r)
}
