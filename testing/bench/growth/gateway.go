package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/bench"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// version of Metadata that clients ask in.
const version = 12

// gateway is one over two clusters that both have all topics, each the home of a half.
type gateway struct {
	*gatewaytest.Gateway
	addr, admin, file string
}

func openGateway(ctx context.Context, dir, prod, dr string) (*gateway, error) {
	port, err := kafkatest.FreePorts(6)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`admin: {listen: "127.0.0.1:%d"}
state: {dir: ./state}
clusters:
  prod: {bootstrap: [%q], nodes: 0-1}
  dr: {bootstrap: [%q], nodes: 0-1}
telemetry: {log: {level: error}}
virtual_clusters:
  vc:
    listen: {bootstrap: "127.0.0.1:%d", brokers: {ports: %d-%d}}
    chain: [routing: {default: prod, topics: {"b-*": {cluster: dr}}}, topics: {}, offsets: {}]
`, port, prod, dr, port+1, port+2, port+5)
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	g, err := gatewaytest.Open(ctx, file, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return nil, err
	}
	return &gateway{g, fmt.Sprintf("127.0.0.1:%d", port+1), fmt.Sprintf("127.0.0.1:%d", port), file}, nil
}

// metadata is a request for some topics, or without any for all.
func metadata(topics ...string) []byte {
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(version)
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		m.Topics = append(m.Topics, t)
	}
	return bench.Frame(kmsg.Metadata, version, m.AppendTo)
}

// cost is what the process needs for one answer, and how long it takes.
type cost struct {
	cpu, wall       time.Duration
	mallocs, memory uint64
}

// measure asks for metadata many times, and returns what one answer costs in the best of some
// rounds: what else goes on in the process is left out. Memory that an answer needs once alone is
// not counted.
func (g *gateway) measure(request []byte, rounds, times int) (best cost, err error) {
	c, err := bench.Dial(g.addr, request)
	if err != nil {
		return best, err
	}
	defer func() { _ = c.Close() }()
	if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
		return best, err
	}
	var was, now runtime.MemStats
	for round := range rounds {
		cpu := used()
		runtime.ReadMemStats(&was)
		for range times {
			if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
				return best, err
			}
		}
		runtime.ReadMemStats(&now)
		n := uint64(times)
		one := cost{cpu: (used() - cpu) / time.Duration(times), mallocs: (now.Mallocs - was.Mallocs) / n, memory: (now.TotalAlloc - was.TotalAlloc) / n}
		if round == 0 {
			best = one
		}
		best = best.or(one)
	}
	return best, nil
}

// listed asks for the first page of the topics, as operators do, and returns what it costs and how
// many bytes it has.
func (g *gateway) listed(rounds int) (best cost, page int, err error) {
	for round := range rounds + 1 {
		began, was := time.Now(), used()
		resp, err := http.Get("http://" + g.admin + "/api/v1/topics/vc?page=1")
		if err != nil {
			return best, 0, err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			return best, 0, fmt.Errorf("%s: %s %w", resp.Request.URL, resp.Status, err)
		}
		one := cost{wall: time.Since(began), cpu: used() - was}
		if round == 1 || round > 1 && one.cpu < best.cpu {
			best = one
		}
		page = int(n)
	}
	return best, page, nil
}

// routes runs the command of that name, and returns how long it takes, and the processor time of
// the command and the gateway.
func (g *gateway) routes(ctx context.Context, bin string, topics int) (took cost, err error) {
	cmd := exec.CommandContext(ctx, bin, "routes", "-c", g.file)
	began, was := time.Now(), used()
	out, err := cmd.Output()
	took.wall, took.cpu = time.Since(began), used()-was
	if err != nil {
		return took, err
	}
	took.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if n := bytes.Count(out, []byte("\n")); n != topics+1 {
		err = fmt.Errorf("%d lines for %d topics", n, topics)
	}
	return took, err
}

// metric is the sum of the series whose lines begin with a name and hold some labels.
func (g *gateway) metric(name string, labels ...string) (sum float64, err error) {
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, name) || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		_, value, _ := strings.Cut(line, "} ")
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// or is the best of two costs.
func (c cost) or(o cost) cost {
	return cost{cpu: min(c.cpu, o.cpu), mallocs: min(c.mallocs, o.mallocs), memory: min(c.memory, o.memory)}
}

// used is the processor time that the process has had so far. It is known on Linux alone.
func used() time.Duration {
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat")
	var sum int64
	for _, t := range threads { // Go's don't end
		b, err := os.ReadFile(t)
		if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			sum += n
		}
	}
	return time.Duration(sum)
}
