// Command growth measures what answers cost while a gateway over two clusters has more and more
// topics, and prints a table. It fails where something that must be linear is not. The numbers of
// topics are its arguments.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

func main() {
	args := os.Args[1:]
	if len(args) == 4 && args[0] == "cluster" {
		topics, _ := strconv.Atoi(args[3])
		if _, err := newCluster(args[1], args[2], topics); err != nil {
			fmt.Fprintln(os.Stderr, "growth:", err)
			os.Exit(1)
		}
		select {}
	}
	if len(args) == 0 {
		args = []string{"100", "1000", "3000", "10000"}
	}
	if err := table(args); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// table measures each number of topics and compares it with the one before.
func table(sizes []string) error {
	fmt.Println("| topics | metadata of all: CPU | allocations | MB | metadata of one: CPU | allocations | KB | CPU of a core: the first 30 s | idle behind them | a page of topics: CPU | wall | KB | `default` moved over the half of them: wall | CPU per topic | longest pause |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	var was *row
	var errs []error
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		r, err := measured(n)
		if err != nil {
			return fmt.Errorf("%d topics: %w", n, err)
		}
		fmt.Println(r)
		if was != nil {
			errs = append(errs, r.linear(was, true))
		}
		was = r
	}
	return errors.Join(errs...)
}

// row is what a gateway needs with a number of topics.
type row struct {
	topics   int
	all, one cost
	first    float64 // of a core, while all copies are compared for the first time
	idle     float64 // of a core, behind that
	list     cost    // a page of the topics for operators
	page     int     // bytes of it
	moved    failedOver
}

func (r *row) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("| %d | %s | %d | %.1f | %s | %d | %.1f | %.1f %% | %.1f %% | %s | %s | %d | %s | %s | %s |", r.topics, ms(r.all.cpu), r.all.mallocs, float64(r.all.memory)/1e6,
		ms(r.one.cpu), r.one.mallocs, float64(r.one.memory)/1e3, 100*r.first, 100*r.idle, ms(r.list.cpu), ms(r.list.wall), r.page/1000,
		ms(r.moved.wall), ms(r.moved.each()), ms(r.moved.pause))
}

// linear compares with a row of fewer topics: an answer with all of them grows as their number
// does, and one with one of them does not grow. Processor time is compared where it is asked for,
// with room for a busy machine.
func (r *row) linear(fewer *row, cpu bool) error {
	times := float64(r.topics) / float64(fewer.topics)
	var errs []error
	atMost := func(what string, was, now, most float64) {
		if now > was*most {
			errs = append(errs, fmt.Errorf("%s: %.0f with %d topics, %.0f with %d: at most %.1f times as many", what, was, fewer.topics, now, r.topics, most))
		}
	}
	atMost("allocations for metadata of all", float64(fewer.all.mallocs), float64(r.all.mallocs), 1.2*times)
	atMost("bytes for metadata of all", float64(fewer.all.memory), float64(r.all.memory), 1.5*times)
	atMost("allocations for metadata of one", float64(fewer.one.mallocs), float64(r.one.mallocs), 1.1)
	atMost("bytes for metadata of one", float64(fewer.one.memory), float64(r.one.memory), 1.2)
	if cpu {
		atMost("ns of CPU for metadata of all", float64(fewer.all.cpu), float64(r.all.cpu), 2*times)
		atMost("ns of CPU for the move of a topic", float64(fewer.moved.each()), float64(r.moved.each()), 2)
		atMost("ns of CPU for metadata of one", float64(fewer.one.cpu), float64(r.one.cpu), 2)
	}
	return errors.Join(errs...)
}

// rounds is how often each answer is measured.
const rounds = 5

// measured starts clusters in processes of their own, and a gateway in this one.
func measured(topics int) (*row, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		return nil, err
	}
	var addrs []string
	for i, id := range []string{"prod", "dr"} {
		addr := fmt.Sprintf("127.0.0.1:%d", port+i)
		cmd := exec.CommandContext(ctx, os.Args[0], "cluster", addr, id, strconv.Itoa(topics))
		cmd.Stderr, cmd.SysProcAttr = os.Stderr, kafkatest.EndsWithParent()
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		defer func() { _ = cmd.Wait() }()
		defer cancel()
		if err := listening(addr); err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	dir, err := os.MkdirTemp("", "growth")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	g, err := openGateway(ctx, dir, addrs[0], addrs[1])
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Stop() }()
	r := &row{topics: topics}
	if err := r.ofAll(g, rounds, 3); err != nil {
		return nil, err
	}
	r.first = idle()
	if err := r.ofOne(g, rounds, 200); err != nil {
		return nil, err
	}
	if r.list, r.page, err = g.listed(rounds); err != nil {
		return nil, err
	}
	r.idle = idle()
	if r.moved, err = g.failOver(); err != nil {
		return nil, err
	}
	return r, nil
}

// idle is the share of a core that the process uses while nobody asks for anything.
func idle() float64 {
	was := used()
	time.Sleep(idleFor)
	return float64(used()-was) / float64(idleFor)
}

// idleFor is some rounds in which the gateway compares copies.
const idleFor = 30 * time.Second

// ofAll measures metadata of all topics. The catalog knows them from the first answer on.
func (r *row) ofAll(g *gateway, rounds, times int) (err error) {
	r.all, err = g.measure(metadata(), rounds, times)
	return err
}

// ofOne measures metadata of one topic beside all others.
func (r *row) ofOne(g *gateway, rounds, times int) (err error) {
	r.one, err = g.measure(metadata(topicName(r.topics/2)), rounds, times)
	return err
}

func listening(addr string) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("nobody listens on %s", addr)
}
