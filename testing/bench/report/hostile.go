package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/bench"
)

// hostile is what a guest does that breaks it; each has a guest and a topic of its own, because one
// that fails again and again is left alone.
var hostile = []string{"loop", "recurse", "panic", "memory", "sleep", "log"}

// besides measures a session beside another one whose requests break guests, one after the other,
// and without it.
func besides(dir, bin, sink string) error {
	probe, err := buildGuest(dir, "probe.wasm", "./plugins/wasm/testdata/probe")
	if err != nil {
		return err
	}
	chain := "["
	var frames [][]byte
	for _, what := range hostile {
		chain += fmt.Sprintf("wasm: {name: %s, file: %q, topics: [%s], grant: [kv, http, send_request], limits: {timeout: 100ms, memory: 32MiB}}, ", what, probe, what)
		records, err := one(what)
		if err != nil {
			return err
		}
		frames = append(frames, bench.ProduceRecordsFrame(what, records))
	}
	sub, err := os.MkdirTemp(dir, "hostile")
	if err != nil {
		return err
	}
	file, addr, err := bench.ChainFile(sub, sink, chain+builtin, "")
	if err != nil {
		return err
	}
	var quiet, beside []time.Duration
	for range rounds {
		if quiet, beside, err = besideOnce(bin, file, addr, frames, quiet, beside); err != nil {
			return err
		}
	}
	q, b := p99(quiet), p99(beside)
	fmt.Printf("\none request at a time of another session, p99, beside %v in turn: %.0f us, without %.0f us: %.2fx (%d and %d requests)\n", hostile, us(b), us(q), us(b)/us(q), len(beside), len(quiet))
	return nil
}

// besideOnce starts a gateway, and measures the session without the hostile one, with it, and
// without it again.
func besideOnce(bin, file, addr string, frames [][]byte, quiet, beside []time.Duration) (_, _ []time.Duration, err error) {
	m, err := start("gateway", addr, bin, "run", "-c", file)
	if err != nil {
		return nil, nil, err
	}
	defer m.stop()
	if err := bench.Introduce(addr); err != nil {
		return nil, nil, err
	}
	c, err := bench.Dial(addr, bench.ProduceFrame(200))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = c.Close() }()
	until := func(times []time.Duration, ended func() bool) ([]time.Duration, error) {
		for !ended() {
			began := time.Now()
			if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
				return nil, err
			}
			times = append(times, time.Since(began))
		}
		return times, nil
	}
	for i := range 4 {
		end := time.Now().Add(700 * time.Millisecond)
		if quiet, err = until(quiet, func() bool { return time.Now().After(end) }); err != nil {
			return nil, nil, err
		}
		if i == 3 {
			break
		}
		done := make(chan error, 1)
		go func() { done <- breakAll(addr, frames) }()
		var failed error
		beside, err = until(beside, func() bool {
			select {
			case failed = <-done:
				return true
			default:
				return false
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return nil, nil, err
		}
	}
	return quiet, beside, nil
}

// breakAll sends every hostile request once.
func breakAll(addr string, frames [][]byte) error {
	for _, f := range frames {
		c, err := bench.Dial(addr, f)
		if err != nil {
			return err
		}
		if err := errors.Join(c.Send(1), c.Receive(1), c.Close()); err != nil {
			return err
		}
	}
	return nil
}

// one is a batch of one record with a value.
func one(value string) (kafka.Batch, error) {
	b, err := bench.Records(1)
	if err != nil {
		return nil, err
	}
	list, err := kafka.Records(b)
	if err != nil {
		return nil, err
	}
	list[0].Value = []byte(value)
	return kafka.Rebuild(b, list, kafka.CloseGaps)
}

func p99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
