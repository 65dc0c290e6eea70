package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/testing/bench"
)

// build builds a package with Go and returns the file.
func build(dir, name string, env []string, args ...string) (string, error) {
	out := filepath.Join(dir, name)
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, b)
	}
	return out, nil
}

func buildGuest(dir, name, pkg string) (string, error) {
	return build(dir, name, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w", pkg)
}

// buildRust builds the guest in Rust, with the first cargo whose rustc has the library of the
// target. It is "" if there is none.
func buildRust(dir string) (string, error) {
	const target = "wasm32-unknown-unknown"
	for _, bin := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin") {
		lib, err := exec.Command(filepath.Join(bin, "rustc"), "--print", "target-libdir", "--target", target).Output()
		if err != nil {
			continue
		}
		if found, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(lib)), "libcore-*")); len(found) == 0 {
			continue
		}
		cmd := exec.Command(filepath.Join(bin, "cargo"), "build", "--release", "--offline", "--quiet", "--target", target)
		cmd.Dir = "testing/bench/guests/rust-upper"
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "CARGO_TARGET_DIR="+filepath.Join(dir, "cargo"))
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, b)
		}
		return filepath.Join(dir, "cargo", target, "release", "rust_upper.wasm"), nil
	}
	fmt.Println("\nthe guest in Rust: left out, there is no cargo with a rustc for " + target)
	return "", nil
}

// guests measures what guests cost that change every value.
func guests(dir, bin string) error {
	records, err := bench.Records(256)
	if err != nil {
		return err
	}
	sink, err := bench.NewRecordsSink("127.0.0.1:0", records)
	if err != nil {
		return err
	}
	s := newStand(dir, sink)
	defer s.stop()
	native, err := build(dir, "native", nil, "./testing/bench/native")
	if err != nil {
		return err
	}
	goUpper, err := buildGuest(dir, "upper.wasm", "./testing/bench/guests/upper")
	if err != nil {
		return err
	}
	goMask, err := buildGuest(dir, "mask.wasm", "./sdk/examples/mask")
	if err != nil {
		return err
	}
	rust, err := buildRust(dir)
	if err != nil {
		return err
	}
	for _, g := range []struct{ name, chain, bin string }{
		{"no guest", "[" + builtin, bin},
		{"interceptor in Go", "[upper: {}, " + builtin, native},
		{"guest in Go", fmt.Sprintf("[wasm: {file: %q}, %s", goUpper, builtin), bin},
		{"guest in Rust", fmt.Sprintf("[wasm: {file: %q}, %s", rust, builtin), bin},
		{"mask, compiled in", "[mask: {config: {fields: [card]}}, " + builtin, native},
		{"mask, the example in Go", fmt.Sprintf("[wasm: {file: %q, config: {fields: [card]}}, %s", goMask, builtin), bin},
	} {
		if strings.Contains(g.chain, `file: ""`) {
			continue
		}
		if err := s.gateway(g.name, g.bin, g.chain, ""); err != nil {
			return err
		}
	}
	const n = 2000
	bytes := float64(n * 256 * bench.RecordBytes)
	if err := throughput("Produce of 256 records of 1 KB, every value changed", bytes, s.list, bench.ProduceRecordsFrame(bench.Topic, records), n); err != nil {
		return err
	}
	if err := throughput("Fetch of 256 records of 1 KB, every value changed (mask: one field)", bytes, s.list, bench.FetchFrame(), n); err != nil {
		return err
	}
	return besides(dir, bin, sink.Addr())
}

// throughput prints CPU per GB of values and MB per second, against the first process in the
// middle.
func throughput(what string, bytes float64, list []*middle, frame []byte, n int) error {
	type cost struct{ cpu, rate []float64 }
	costs := map[*middle]*cost{}
	for _, m := range list[1:] {
		costs[m] = &cost{}
		if err := load(m.addr, frame, 2, 2, n/10); err != nil { // instances are started
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	for range rounds {
		for _, m := range list[1:] {
			before, began := m.cpu(), time.Now()
			if err := load(m.addr, frame, 2, 2, n); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			costs[m].cpu = append(costs[m].cpu, (m.cpu()-before).Seconds()/(bytes/1e9))
			costs[m].rate = append(costs[m].rate, bytes/1e6/time.Since(began).Seconds())
		}
	}
	fmt.Printf("\n%s, 2 connections x 2 in flight\n", what)
	base := median(costs[list[1]].rate)
	for _, m := range list[1:] {
		c := costs[m]
		fmt.Printf("  %-34s %6.2f CPU s/GB  %7.1f MB/s  %.2fx\n", m.name, median(c.cpu), median(c.rate), median(c.rate)/base)
	}
	return nil
}
