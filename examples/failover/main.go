// Command failover shows the main job: a topic moves from one cluster to another and back while a
// producer and a consumer run, by one edited line of YAML. Everything is real but the clusters,
// which run in this process.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	file := flag.String("json", "", "write the result to this file as JSON")
	manual := flag.Bool("manual", false, "wait for you to edit the file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	d, err := start(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	err = d.story(ctx, *manual)
	result := d.stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	show(result)
	if *file != "" {
		b, err := json.Marshal(result)
		if err == nil {
			err = os.WriteFile(*file, append(b, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			os.Exit(1)
		}
	}
	if !result.Clean() {
		os.Exit(1)
	}
}

func show(r result) {
	fmt.Println()
	for _, row := range []struct {
		name string
		n    int64
		unit string
	}{
		{"records acknowledged", int64(r.Acked), ""}, {"records received", int64(r.Received), ""},
		{"lost", int64(r.Lost), ""}, {"duplicated", int64(r.Duplicated), ""}, {"out of order", int64(r.Reordered), ""},
		{"client errors", int64(r.ClientErrors), ""},
		{"longest pause of the producer", r.ProducerPauseMS, " ms"}, {"longest pause of the consumer", r.ConsumerPauseMS, " ms"},
	} {
		fmt.Printf("  %-30s %6d%s\n", row.name, row.n, row.unit)
	}
	for _, m := range r.Moves {
		fmt.Printf("  move %s > %s %28d ms held\n", m.From, m.To, m.PauseMS)
	}
}
