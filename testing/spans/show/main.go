// Command show prints traces of a file that the OpenTelemetry Collector's file exporter wrote: the
// one whose id is given, or those of an operation or of a client, or all.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/sluice-gateway/sluice/testing/spans"
)

func main() {
	trace := flag.String("trace", "", "the id of a trace")
	operation := flag.String("operation", "", "an operation, such as send, poll or Metadata")
	client := flag.String("client", "", "a client id")
	zipkin := flag.Bool("zipkin", false, "as JSON for Zipkin")
	flag.Parse()
	if err := show(flag.Args(), *zipkin, *trace, *operation, *client); err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
}

func show(files []string, zipkin bool, trace, operation, client string) error {
	if len(files) != 1 {
		return fmt.Errorf("name one file")
	}
	f, err := os.Open(files[0])
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := spans.Read(f)
	if err != nil {
		return err
	}
	var wanted []string
	for _, s := range spans.Children(list)[""] {
		if (trace == "" || s.Trace == trace) && (operation == "" || s.Attributes["messaging.operation.name"] == operation) && (client == "" || s.Attributes["messaging.client.id"] == client) {
			wanted = append(wanted, s.Trace)
		}
	}
	if len(wanted) == 0 {
		return fmt.Errorf("%s has no such trace", files[0])
	}
	if zipkin {
		return spans.Zipkin(os.Stdout, list, wanted)
	}
	for _, t := range wanted {
		if err := spans.Write(os.Stdout, list, t); err != nil {
			return err
		}
	}
	return nil
}
