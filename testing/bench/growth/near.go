package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

const nearHead = "| topics | metadata of all: CPU | allocations | MB | metadata of one: CPU | allocations | KB | CPU of a core: the first 30 s | idle behind them | a page of topics: CPU | wall | KB | `gateway routes`: CPU | wall | `default` moved over the half of them: wall | CPU per topic | longest hold | longest wait of a client | written to disk, KB |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"

// row is what a gateway needs with a number of topics that are empty.
type row struct {
	topics   int
	all, one cost
	first    float64 // of a core, while all copies are compared for the first time
	idle     float64 // of a core, behind that
	list     cost    // a page of the topics for operators
	page     int     // bytes of it
	routes   cost    // of the command
	moved    failedOver
}

func (r *row) String() string {
	return fmt.Sprintf("| %d | %s | %d | %.1f | %s | %d | %.1f | %.1f %% | %.1f %% | %s | %s | %d | %s | %s | %s | %s | %s | %s | %d |", r.topics, ms(r.all.cpu), r.all.mallocs, float64(r.all.memory)/1e6,
		ms(r.one.cpu), r.one.mallocs, float64(r.one.memory)/1e3, 100*r.first, 100*r.idle, ms(r.list.cpu), ms(r.list.wall), r.page/1000, ms(r.routes.cpu), ms(r.routes.wall),
		ms(r.moved.wall), ms(r.moved.each()), ms(r.moved.hold), ms(r.moved.pause), r.moved.state/1000)
}

// mostPause is the longest that a client waits while up to 3,000 topics move.
const mostPause = time.Second

func (r *row) grown(since measured) error {
	fewer := since.(*row)
	err := r.linear(fewer, true)
	if r.moved.topics <= 3000 && r.moved.pause > mostPause {
		err = errors.Join(err, fmt.Errorf("a client has waited for %s while %d topics moved, at most %s", r.moved.pause, r.moved.topics, mostPause))
	}
	return err
}

// linear compares with a row of fewer topics: an answer with all of them grows as their number
// does, and one with one of them does not grow. Time is compared where it is asked for, with room
// for a busy machine.
func (r *row) linear(fewer *row, timed bool) error {
	times := float64(r.topics) / float64(fewer.topics)
	var errs []error
	check := func(what string, was, now, most float64) {
		errs = append(errs, atMost(what, float64(fewer.topics), was, float64(r.topics), now, most))
	}
	check("allocations for metadata of all", float64(fewer.all.mallocs), float64(r.all.mallocs), 1.2*times)
	check("bytes for metadata of all", float64(fewer.all.memory), float64(r.all.memory), 1.5*times)
	check("allocations for metadata of one", float64(fewer.one.mallocs), float64(r.one.mallocs), 1.1)
	check("bytes for metadata of one", float64(fewer.one.memory), float64(r.one.memory), 1.2)
	if timed {
		check("ns of CPU for metadata of all", float64(fewer.all.cpu), float64(r.all.cpu), 2*times)
		check("ns of CPU for the move of a topic", float64(fewer.moved.each()), float64(r.moved.each()), 2)
		check("ns of CPU for gateway routes", float64(fewer.routes.cpu), float64(r.routes.cpu), 2*times)
		check("ns for all moves", float64(fewer.moved.wall), float64(r.moved.wall), 2*times)
		check("ns of CPU for metadata of one", float64(fewer.one.cpu), float64(r.one.cpu), 2)
	}
	return errors.Join(errs...)
}

// rounds is how often each answer is measured.
const rounds = 5

// near measures clusters that answer at once, whose topics are empty.
func near(topics int) (measured, error) {
	r := &row{topics: topics}
	return r, stand(topics, 0, 0, func(ctx context.Context, g *gateway) (err error) {
		if err := r.ofAll(g, rounds, 3); err != nil {
			return err
		}
		r.first = idle()
		if err := r.ofOne(g, rounds, 200); err != nil {
			return err
		}
		if r.list, r.page, err = g.listed(rounds); err != nil {
			return err
		}
		bin, err := command(ctx, filepath.Dir(g.file))
		if err != nil {
			return err
		}
		if r.routes, err = g.routes(ctx, bin, topics); err != nil {
			return err
		}
		r.idle = idle()
		r.moved, err = g.failOver(ctx, topics)
		return err
	})
}

// command builds the gateway's command line.
func command(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "gateway")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/sluice-gateway/sluice/cmd/gateway").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
}

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
