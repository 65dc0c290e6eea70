// Command growth measures what answers, rounds over copies and moves cost while a gateway over two
// clusters has more and more topics, and prints tables. It fails where something that must be
// linear is not. The numbers of topics are its arguments.
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
	err := errors.New("clusters wants two addresses, topics, records in a partition, and a distance in ms")
	switch {
	case len(args) == 0:
		err = tables([]string{"100", "1000", "3000", "10000"})
	case args[0] != "clusters":
		err = tables(args)
	case len(args) == 6:
		err = serve(args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// serve is two clusters, in a process of their own.
func serve(args []string) error {
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[2+i]); err != nil {
			return err
		}
	}
	if _, err := newPair([2]string{args[0], args[1]}, n[0], n[1], time.Duration(n[2])*time.Millisecond); err != nil {
		return err
	}
	select {}
}

// tables measures each number of topics and compares it with the one before.
func tables(sizes []string) error {
	var errs []error
	for _, t := range []struct {
		head string
		row  func(topics int) (measured, error)
	}{{nearHead, near}, {farHead, far}} {
		fmt.Println(t.head)
		var was measured
		for _, size := range sizes {
			n, err := strconv.Atoi(size)
			if err != nil {
				return err
			}
			r, err := t.row(n)
			if err != nil {
				return fmt.Errorf("%d topics: %w", n, err)
			}
			fmt.Println(r)
			if was != nil {
				errs = append(errs, r.grown(was))
			}
			was = r
		}
		fmt.Println()
	}
	return errors.Join(errs...)
}

// measured is a row of a table. grown says what has grown more than it may since a row of fewer
// topics.
type measured interface {
	fmt.Stringer
	grown(since measured) error
}

// stand starts clusters in a process of their own, and a gateway in this one.
func stand(topics, records int, distance time.Duration, use func(context.Context, *gateway) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		return err
	}
	addrs := []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1)}
	cmd := exec.CommandContext(ctx, os.Args[0], "clusters", addrs[0], addrs[1], strconv.Itoa(topics), strconv.Itoa(records), strconv.Itoa(int(distance.Milliseconds())))
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, kafkatest.EndsWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Wait() }()
	defer cancel()
	for _, addr := range addrs {
		if err := listening(addr); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "growth")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	g, err := openGateway(ctx, dir, addrs[0], addrs[1])
	if err != nil {
		return err
	}
	defer func() { _ = g.Stop() }()
	return use(ctx, g)
}

// idle is the share of a core that the process uses while nobody asks for anything.
func idle() float64 {
	was := used()
	time.Sleep(idleFor)
	return float64(used()-was) / float64(idleFor)
}

// idleFor is some rounds in which the gateway compares copies.
const idleFor = 30 * time.Second

func listening(addr string) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("nobody listens on %s", addr)
}

// ms is a duration in a table.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// atMost is an error if a value has grown more than so many times.
func atMost(what string, fewer, was, topics, now, most float64) error {
	if now <= was*most {
		return nil
	}
	return fmt.Errorf("%s: %.0f with %.0f topics, %.0f with %.0f: at most %.1f times as many", what, was, fewer, now, topics, most)
}
