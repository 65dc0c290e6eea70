package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const farHead = "| topics, 20 ms away, 64 records in a partition | first comparison of all: wall | CPU per partition | period of rounds behind it | CPU of a core | `default` moved over the half of them: wall | CPU per topic | longest hold | longest wait of a client |\n" +
	"|---|---|---|---|---|---|---|---|---|"

const (
	// distance is how far away the clusters are.
	distance = 20 * time.Millisecond
	// recordsThere is how many records a partition has: as many as are compared of each.
	recordsThere = 64
)

// farRow is what a gateway needs for topics that are full on clusters that are far away.
type farRow struct {
	topics     int
	first, cpu time.Duration
	period     time.Duration
	idle       float64
	moved      failedOver
}

func (r *farRow) String() string {
	return fmt.Sprintf("| %d | %s | %s | %s | %.1f %% | %s | %s | %s | %s |", r.topics, ms(r.first), ms(r.cpu/time.Duration(r.topics*partitions)), ms(r.period), 100*r.idle,
		ms(r.moved.wall), ms(r.moved.each()), ms(r.moved.hold), ms(r.moved.pause))
}

// mostPeriod is how long a round over copies may take, in which nothing has changed.
const mostPeriod = 11 * time.Second

func (r *farRow) grown(since measured) error {
	fewer := since.(*farRow)
	err := errors.Join(
		atMost("ns of CPU for the first comparison of a topic", float64(fewer.topics), float64(fewer.cpu)/float64(fewer.topics), float64(r.topics), float64(r.cpu)/float64(r.topics), 2),
		atMost("ns of CPU for the move of a topic", float64(fewer.topics), float64(fewer.moved.each()), float64(r.topics), float64(r.moved.each()), 2))
	if r.period > mostPeriod {
		err = errors.Join(err, fmt.Errorf("%d topics: a round every %s, at most %s", r.topics, r.period, mostPeriod))
	}
	return err
}

func far(topics int) (measured, error) {
	r := &farRow{topics: topics}
	return r, stand(topics, recordsThere, distance, func(ctx context.Context, g *gateway) (err error) {
		if _, err := g.measure(metadata(), 1, 1); err != nil {
			return err
		}
		if r.first, r.cpu, err = g.compared(topics); err != nil {
			return err
		}
		time.Sleep(idleFor) // a look at settings, and what is left of the garbage
		r.idle = idle()
		seconds, err := g.metric("sluice_copies_round_period_seconds{")
		if err != nil {
			return err
		}
		r.period = time.Duration(seconds * float64(time.Second))
		r.moved, err = g.failOver(ctx, topics)
		return err
	})
}

// compared waits until all copies are compared, from when the first one is.
func (g *gateway) compared(topics int) (wall, cpu time.Duration, err error) {
	began, was, begun := time.Now(), used(), false
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		waiting, err := g.metric(`sluice_copies_waiting{`)
		if err != nil {
			return 0, 0, err
		}
		ready, err := g.metric(`sluice_failover_topics{`, `reason="ready"`)
		if err != nil {
			return 0, 0, err
		}
		if begun = begun || waiting > 0; !begun {
			began, was = time.Now(), used()
		}
		if int(ready) == topics {
			return time.Since(began), used() - was, nil
		}
	}
	return 0, 0, errors.New("not all copies are compared after ten minutes")
}
