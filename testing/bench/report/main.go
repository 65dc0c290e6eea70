// Command report measures the gateway against a plain two-way byte copy and direct connections, all
// in one run and interleaved, and prints tables: all of them, or those of the parts that are named.
// Only the CPU of the process in the middle is counted.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/testing/bench"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const rounds = 5

func main() {
	if len(os.Args) == 4 && os.Args[1] == "copy" {
		fmt.Fprintln(os.Stderr, copyBytes(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	all := map[string]part{"copy": besidesCopy, "guests": guests, "traces": traces, "kafka": overKafka}
	order := os.Args[1:]
	if len(order) == 0 {
		order = []string{"copy", "guests", "traces", "kafka"}
	}
	var parts []part
	for _, name := range order {
		if all[name] == nil {
			fmt.Fprintf(os.Stderr, "bench: no part %q: copy, guests, traces, kafka\n", name)
			os.Exit(2)
		}
		parts = append(parts, all[name])
	}
	if err := run(parts); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// copyBytes is the plain copy: two goroutines per connection with buffers of 128 KiB.
func copyBytes(listen, target string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		a, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			b, err := net.Dial("tcp", target)
			if err != nil {
				_ = a.Close()
				return
			}
			pump := func(dst, src net.Conn) {
				// Without ReadFrom and WriteTo, which would let the kernel copy.
				_, _ = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 128<<10))
				_ = dst.Close()
			}
			go pump(a, b)
			pump(b, a)
		}()
	}
}

// middle is a process that requests go through.
type middle struct {
	name, addr string
	cmd        *exec.Cmd // nil: direct
}

func start(name, addr string, bin string, args ...string) (*middle, error) {
	m := &middle{name: name, addr: addr, cmd: exec.Command(bin, args...)}
	m.cmd.Stderr = os.Stderr
	m.cmd.SysProcAttr = kafkatest.EndsWithParent()
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			return m, c.Close()
		}
	}
	return nil, fmt.Errorf("%s does not listen on %s", name, addr)
}

func (m *middle) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

// cpu is the time that the process has used.
func (m *middle) cpu() time.Duration {
	if m.cmd == nil {
		return 0
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", m.cmd.Process.Pid))
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

// rss is the memory that the process holds, in bytes.
func (m *middle) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", m.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// load sends n requests over conns connections, inFlight at a time each.
func load(addr string, frame []byte, conns, inFlight, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, conns)
	for i := range conns {
		wg.Go(func() {
			c, err := bench.Dial(addr, frame)
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = c.Close() }()
			sent := min(inFlight, n/conns)
			errs[i] = c.Send(sent)
			for got := 0; got < n/conns && errs[i] == nil; got++ {
				if errs[i] = c.Receive(1); errs[i] == nil && sent < n/conns {
					sent++
					errs[i] = c.Send(1)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// latency is the median time of one request at a time.
func latency(addr string, frame []byte, n int) (time.Duration, error) {
	c, err := bench.Dial(addr, frame)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[n/2], nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// part is a part of the report; it may use a folder of its own.
type part func(dir, bin string) error

// run builds the gateway and makes parts of the report.
func run(parts []part) error {
	dir, err := os.MkdirTemp("", "sluice-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin, err := build(dir, "gateway", nil, "./cmd/gateway")
	if err != nil {
		return err
	}
	for i, p := range parts {
		sub := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			return err
		}
		if err := p(sub, bin); err != nil {
			return err
		}
	}
	return nil
}

func besidesCopy(dir, bin string) error {
	if err := besidesACopy(dir, bin, 200, small); err != nil {
		return err
	}
	return besidesACopy(dir, bin, 1<<20, large)
}

// besidesACopy measures the gateway beside a plain copy of bytes.
func besidesACopy(dir, bin string, recordBytes int, measure func([]*middle) error) error {
	sink, err := bench.NewSink("127.0.0.1:0", recordBytes)
	if err != nil {
		return err
	}
	s := newStand(dir, sink)
	defer s.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := kafkatest.FreePorts(1)
	if err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	m, err := start("plain copy", addr, self, "copy", addr, sink.Addr())
	if err != nil {
		return err
	}
	s.list = append(s.list, m)
	err = s.gateway("gateway, pass-through", bin, "[]", "")
	if err == nil {
		err = s.gateway("gateway, routing+topics+offsets", bin, "["+builtin, "")
	}
	if err != nil {
		return err
	}
	return measure(s.list)
}

func small(list []*middle) error {
	fmt.Println("memory of a fresh process, and of 1,000 idle connections")
	for _, m := range list[1:] {
		fresh := m.rss()
		var conns []*bench.Client
		for range 1000 {
			c, err := bench.Dial(m.addr, bench.ProduceFrame(200))
			if err != nil {
				return err
			}
			if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
				return err
			}
			conns = append(conns, c)
		}
		time.Sleep(time.Second)
		fmt.Printf("  %-34s %8.1f MB fresh %8.1f KiB each\n", m.name, float64(fresh)/1e6, float64(m.rss()-fresh)/1000/1024)
		for _, c := range conns {
			_ = c.Close()
		}
	}
	frame := bench.ProduceFrame(200)
	const n = 20_000
	err := overhead("CPU per request: Produce of 200 B, 16 connections x 5 in flight", "us", n, list[1:], func(addr string) error { return load(addr, frame, 16, 5, n) })
	if err != nil {
		return err
	}
	fmt.Println("\none connection, one request at a time: median")
	times := map[*middle][]float64{}
	for range rounds {
		for _, m := range list {
			t, err := latency(m.addr, frame, 10_000)
			if err != nil {
				return err
			}
			times[m] = append(times[m], float64(t))
		}
	}
	direct := median(times[list[0]])
	for _, m := range list {
		t := median(times[m])
		fmt.Printf("  %-34s %8.1f us   %+.1f us\n", m.name, t/1e3, (t-direct)/1e3)
	}
	return nil
}

func large(list []*middle) error {
	const n = 180
	gb := float64(n) * (1 << 20) / 1e9
	frame := bench.ProduceFrame(1 << 20)
	if err := overhead("CPU per GB: Produce of 1 MiB, 2 connections x 2 in flight", "ms", gb*1e3, list[1:], func(addr string) error { return load(addr, frame, 2, 2, n) }); err != nil {
		return err
	}
	fetch := bench.FetchFrame()
	return overhead("CPU per GB: Fetch of 1 MiB, 2 connections x 2 in flight", "ms", gb*1e3, list[1:], func(addr string) error { return load(addr, fetch, 2, 2, n) })
}
